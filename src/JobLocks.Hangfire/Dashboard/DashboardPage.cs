using Hangfire.Dashboard;
using Hangfire.Dashboard.Pages;
using JobLocks.Inspection;
using JobLocks.Inspection.Pages;

namespace JobLocks.Hangfire.Dashboard;

/// <summary>A page of the dashboard in Hangfire's layout.</summary>
internal abstract class DashboardPage(string title) : RazorPage
{
    public override void Execute()
    {
        Layout = new LayoutPage(title);
        WriteLiteral(Markup.Of($"<div class=\"row\"><div class=\"col-md-12\">{Content()}</div></div>").ToString());
    }

    protected abstract Markup Render(IPageInspector locks);

    /// <summary>The name of this dashboard's storage; null if the storage cannot be asked.</summary>
    protected string? Store { get; private set; }

    protected Cells Cells => new(Url, Html, Store);

    protected int From(string parameter) => ListPart.StartIn(Query(parameter));

    /// <summary>A table.</summary>
    /// <typeparam name="TRow">The type of the rows.</typeparam>
    /// <param name="columns">Its columns.</param>
    /// <param name="rows">Its rows.</param>
    /// <param name="action">What a viewer can do with a row; null for a table without actions.</param>
    protected Markup Table<TRow>(IReadOnlyList<Column<TRow>> columns, IReadOnlyList<TRow> rows, Func<TRow, Markup>? action = null)
    {
        var cells = Cells;
        return Markup.Of(
            $"""
            <div class="table-responsive"><table class="table">
            <thead><tr>{Markup.Join(columns.Select(static column => Markup.Of($"<th{Class(column.Kind, name: Markup.None)}>{column.Header}</th>")))}{(action is null ? Markup.None : Markup.Of($"<th class=\"min-width\"></th>"))}</tr></thead>
            <tbody>{Markup.Join(rows.Select(row => Markup.Of($"<tr>{Markup.Join(columns.Select(column => Cell(column, row, cells)))}{(action is null ? Markup.None : Markup.Of($"<td class=\"min-width\">{action(row)}</td>"))}</tr>")))}</tbody>
            </table></div>
            """);
    }

    /// <summary>The sentence that is shown instead of a table without rows.</summary>
    protected static Markup Empty(string sentence) => Markup.Of($"<div class=\"alert alert-success\">{sentence}</div>");

    /// <summary>The links to the previous and the next part of a list.</summary>
    protected Markup Pager(string path, string parameter, ListPart part)
    {
        if (part.IsWhole) return Markup.None;

        var previous = part.PreviousStart is { } back ? Markup.Of($"<a href=\"{Url.To(path)}?{parameter}={back}\">Before</a> ") : Markup.None;
        var next = part.NextStart is { } on ? Markup.Of($" <a href=\"{Url.To(path)}?{parameter}={on}\">After</a>") : Markup.None;
        return Markup.Of($"<p>{previous}{part.ToString()}{next}</p>");
    }

    private static Markup Cell<TRow>(Column<TRow> column, TRow row, Cells cells) =>
        Markup.Of($"<td{Class(column.Kind, name: Markup.Of($" class=\"word-break\""))}>{column.Cell(row, cells)}</td>");

    /// <summary>The class of a header or a cell. Only lock names have different classes in header and cell.</summary>
    private static Markup Class(ColumnKind kind, Markup name) => kind switch
    {
        ColumnKind.LockName => name,
        ColumnKind.Text => Markup.None,
        _ => Markup.Of($" class=\"min-width\""),
    };

    private Markup Content()
    {
        if (LocksDashboard.Of(Storage) is not { } locks) return Markup.Of($"<div class=\"alert alert-warning\">No locks belong to this storage. Call UseJobLocks after it is configured.</div>");

        Store = HangfireRuns.Of(Storage).TryIdentify();
        try
        {
            return Render(locks);
        }
        catch (JobLocksUnavailableException unavailable)
        {
            return Failure(ReadingFailure.Of(unavailable));
        }
        catch (UnauthorizedAccessException denied)
        {
            return Markup.Of($"<div class=\"alert alert-danger\">The database role of this application may not look at the locks. {denied.Message}</div>");
        }
    }

    private Markup Failure(ReadingFailure failure)
    {
        if (!failure.IsTemporary) return Markup.Of($"<div class=\"alert alert-danger\">{failure.Title}. {failure.Detail}</div>");

        // The dashboard's script reloads the page.
        Context.Response.StatusCode = 503;
        return Markup.Of($"<div class=\"alert alert-warning js-joblocks-again\" role=\"alert\"><strong>{failure.Title}.</strong> {failure.Detail}</div>");
    }
}
