using JobLocks.Inspection.Pages;

namespace JobLocks.AspNetCore.Pages;

/// <summary>Fragments that several pages share.</summary>
internal static class Parts
{
    /// <summary>A table.</summary>
    /// <typeparam name="TRow">The type of the rows.</typeparam>
    /// <param name="columns">Its columns.</param>
    /// <param name="rows">Its rows. Each has an id, for its link and its action.</param>
    /// <param name="basePath">The base path of the pages.</param>
    /// <param name="action">What a viewer can do with a row; null for a table without actions.</param>
    public static Markup Table<TRow>(IReadOnlyList<Column<TRow>> columns, IEnumerable<(TRow Row, string Id)> rows, string basePath, Func<TRow, string, Markup>? action = null)
    {
        var actionHeader = action is null ? Markup.None : Markup.Of($"<th scope=\"col\"><span class=\"unseen\">What can be done</span></th>");
        return Markup.Of(
            $"""
            <table>
            <thead><tr>{Markup.Join(columns.Select(static column => Markup.Of($"<th scope=\"col\">{column.Header}</th>")))}{actionHeader}</tr></thead>
            <tbody>{Markup.Join(rows.Select(row => Row(columns, row.Row, new(basePath, row.Id), action is null ? Markup.None : Markup.Of($"<td>{action(row.Row, row.Id)}</td>"))))}</tbody>
            </table>
            """);
    }

    /// <summary>The sentence that is shown instead of a table without rows.</summary>
    public static Markup Empty(string sentence) => Markup.Of($"<p class=\"empty\">{sentence}</p>");

    /// <summary>
    /// Gives each row an id that stays the same while other rows appear and disappear. Several runs of one process may share a lock, so they are numbered.
    /// </summary>
    public static IEnumerable<(HeldLock Lock, string Id)> WithIds(IReadOnlyList<HeldLock> held)
    {
        var seen = new Dictionary<(LockKey Key, int Backend), int>();
        foreach (var heldLock in held)
        {
            var lockAndBackend = (heldLock.Key, heldLock.Holder.Backend);
            var nth = seen[lockAndBackend] = seen.GetValueOrDefault(lockAndBackend) + 1;
            yield return (heldLock, $"{heldLock.Key}-{heldLock.Holder.Backend}{(nth == 1 ? "" : $"-{nth}")}");
        }
    }

    /// <summary>The links to the previous and the next part of a list.</summary>
    public static Markup Pager(string address, string parameter, ListPart part)
    {
        if (part.IsWhole) return Markup.None;

        var previous = part.PreviousStart is { } back ? Markup.Of($"<a id=\"{parameter}-back\" rel=\"prev\" href=\"{address}?{parameter}={back}\">Before</a> ") : Markup.None;
        var next = part.NextStart is { } on ? Markup.Of($" <a id=\"{parameter}-on\" rel=\"next\" href=\"{address}?{parameter}={on}\">After</a>") : Markup.None;
        return Markup.Of($"<nav class=\"pager\" aria-label=\"Parts of the list\">{previous}{part.ToString()}{next}</nav>");
    }

    private static Markup Row<TRow>(IReadOnlyList<Column<TRow>> columns, TRow row, Cells cells, Markup action) => Markup.Of(
        $"""
        <tr>{Markup.Join(columns.Select(column => Markup.Of($"<td data-label=\"{column.Header}\"{Class(column.Kind)}>{column.Cell(row, cells)}</td>")))}{action}</tr>

        """);

    private static Markup Class(ColumnKind kind) => kind switch
    {
        ColumnKind.Number => Markup.Of($" class=\"number\""),
        ColumnKind.Word => Markup.Of($" class=\"word\""),
        _ => Markup.None,
    };
}
