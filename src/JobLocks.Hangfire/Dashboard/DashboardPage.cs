using System.Globalization;
using Hangfire.Dashboard;
using Hangfire.Dashboard.Pages;
using JobLocks.Inspection;
using JobLocks.Primitives;

namespace JobLocks.Hangfire.Dashboard;

/// <summary>A page of the dashboard in Hangfire's layout.</summary>
internal abstract class DashboardPage(string title) : RazorPage
{
    protected const int PageSize = 100;

    public override void Execute()
    {
        Layout = new LayoutPage(title);
        WriteLiteral(Markup.Of($"<div class=\"row\"><div class=\"col-md-12\">{Content()}</div></div>").ToString());
    }

    protected abstract Markup Render(IPageInspector locks);

    /// <summary>The name of this dashboard's storage, to recognize its jobs among the runs of several stores; null if the storage cannot be asked.</summary>
    protected string? Store { get; private set; }

    protected int From(string parameter) => int.TryParse(Query(parameter), NumberStyles.None, CultureInfo.InvariantCulture, out var from) ? from : 0;

    protected Markup Link(LockKey key, string? name)
    {
        var text = name is null ? $"key {key}" : DisplayText.Name(name);
        return Markup.Of($"<a href=\"{Url.To($"{LocksDashboard.Path}/names/{key}")}\" title=\"{text}\"><bdi>{DisplayText.Short(text)}</bdi></a>");
    }

    /// <summary>A holder. A job of this storage links to its page.</summary>
    protected Markup Holder(LockHolder holder)
    {
        const string Job = "Hangfire job ";
        var text = DisplayText.OneLine(holder.ToString());
        if (holder.IsForeign) return Markup.Of($"<bdi>{text}</bdi> <span class=\"label label-warning\">foreign</span>");
        if (holder.Run?.StartsWith(Job, StringComparison.Ordinal) != true || holder.Store is null || !string.Equals(holder.Store, Store, StringComparison.Ordinal)) return Markup.Of($"<bdi>{text}</bdi>");

        var id = holder.Run[Job.Length..];
        return Markup.Of($"<a href=\"{Url.JobDetails(id)}\">job <bdi>{DisplayText.Name(id)}</bdi></a><br><bdi>{DisplayText.OneLine((holder with { Run = null }).ToString())}</bdi>");
    }

    protected Markup Time(DateTimeOffset? instant) => instant is { } at ? new(Html.RelativeTime(at.UtcDateTime).ToString()) : Markup.Of($"<em>not known</em>");

    protected Markup Since(LockHolder holder) => holder.Since is null && holder.ConnectedSince is { } connected ? Markup.Of($"connected {Time(connected)}") : Time(holder.Since);

    protected static Markup Mode(LockMode mode) => Markup.Of($"{(mode == LockMode.Shared ? "shared" : "exclusive")}");

    protected static Markup Usual(TimeSpan? usual) => usual is { } time ? Markup.Of($"{DisplayText.Time(time)}") : Markup.Of($"<em>none yet</em>");

    /// <summary>The links to the previous and the next page of a list.</summary>
    protected Markup Pager(string path, string parameter, int from, int shown, long total)
    {
        if (from == 0 && shown >= total) return Markup.None;

        // The list may have become shorter than the start of this page.
        var previousFrom = Math.Max(0, Math.Min(from - PageSize, (total - 1) / PageSize * PageSize));
        var previous = from > 0 ? Markup.Of($"<a href=\"{Url.To(path)}?{parameter}={previousFrom}\">Before</a> ") : Markup.None;
        var next = from + shown < total ? Markup.Of($" <a href=\"{Url.To(path)}?{parameter}={from + PageSize}\">After</a>") : Markup.None;
        return Markup.Of($"<p>{previous}{(shown == 0 ? "none" : string.Create(CultureInfo.InvariantCulture, $"{from + 1} to {from + shown}"))} of {total}{next}</p>");
    }

    private Markup Content()
    {
        if (LocksDashboard.Of(Storage) is not { } locks) return Markup.Of($"<div class=\"alert alert-warning\">No locks belong to this storage. Call UseJobLocks after it is configured.</div>");

        Store = HangfireRuns.Of(Storage).TryIdentify();
        try
        {
            return Render(locks);
        }
        catch (JobLocksUnavailableException busy) when (busy.LookTrouble is not null)
        {
            // The dashboard's script reloads the page.
            Context.Response.StatusCode = 503;
            return Markup.Of($"<div class=\"alert alert-warning js-joblocks-again\" role=\"alert\"><strong>{busy.LookTrouble}.</strong> {busy.Message} The page is loaded again by itself.</div>");
        }
        catch (JobLocksUnavailableException unavailable)
        {
            return Markup.Of($"<div class=\"alert alert-danger\">PostgreSQL cannot be asked for its locks. {unavailable.Message}{(unavailable.NeedsChange ? "" : " Check that the server runs and that this application reaches it.")}</div>");
        }
        catch (UnauthorizedAccessException denied)
        {
            return Markup.Of($"<div class=\"alert alert-danger\">The database role of this application may not look at the locks. {denied.Message}</div>");
        }
    }
}
