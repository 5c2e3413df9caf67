using System.Globalization;
using Hangfire.Dashboard;
using Hangfire.Dashboard.Pages;
using JobLocks.Inspection;
using JobLocks.Primitives;

namespace JobLocks.Hangfire.Dashboard;

/// <summary>A page in Hangfire's own look.</summary>
internal abstract class DashboardPage(string title) : RazorPage
{
    protected const int OnOnePage = 100;

    public override void Execute()
    {
        Layout = new LayoutPage(title);
        WriteLiteral(Markup.Of($"<div class=\"row\"><div class=\"col-md-12\">{Content()}</div></div>").ToString());
    }

    protected abstract Markup Render(IPageInspector locks);

    /// <summary>What the storage of this dashboard is called where runs of several are listed; null where it cannot say it.</summary>
    protected string? Store { get; private set; }

    protected int From(string parameter) => int.TryParse(Query(parameter), NumberStyles.None, CultureInfo.InvariantCulture, out var from) ? from : 0;

    protected Markup Link(LockKey key, string? name)
    {
        var shown = name is null ? $"key {key}" : DisplayText.Name(name);
        return Markup.Of($"<a href=\"{Url.To($"{LocksDashboard.Path}/names/{key}")}\" title=\"{shown}\"><bdi>{DisplayText.Short(shown)}</bdi></a>");
    }

    /// <summary>A holder; where it is a job of this storage, it leads to its page.</summary>
    protected Markup Holder(LockHolder holder)
    {
        const string Job = "Hangfire job ";
        var shown = DisplayText.OneLine(holder.ToString());
        if (holder.IsForeign) return Markup.Of($"<bdi>{shown}</bdi> <span class=\"label label-warning\">foreign</span>");
        if (holder.Run?.StartsWith(Job, StringComparison.Ordinal) != true || holder.Store is null || !string.Equals(holder.Store, Store, StringComparison.Ordinal)) return Markup.Of($"<bdi>{shown}</bdi>");

        var id = holder.Run[Job.Length..];
        return Markup.Of($"<a href=\"{Url.JobDetails(id)}\">job <bdi>{DisplayText.Name(id)}</bdi></a><br><bdi>{DisplayText.OneLine((holder with { Run = null }).ToString())}</bdi>");
    }

    protected Markup Time(DateTimeOffset? instant) => instant is { } at ? new(Html.RelativeTime(at.UtcDateTime).ToString()) : Markup.Of($"<em>not known</em>");

    protected Markup Since(LockHolder holder) => holder.Since is null && holder.ConnectedSince is { } connected ? Markup.Of($"connected {Time(connected)}") : Time(holder.Since);

    protected static Markup Mode(LockMode mode) => Markup.Of($"{(mode == LockMode.Shared ? "shared" : "exclusive")}");

    protected static Markup Usual(TimeSpan? usual) => usual is { } time ? Markup.Of($"{DisplayText.Time(time)}") : Markup.Of($"<em>none yet</em>");

    /// <summary>The way to the other parts of a list.</summary>
    protected Markup Pager(string path, string parameter, int from, int shown, long total)
    {
        if (from == 0 && shown >= total) return Markup.None;

        // A list may have become shorter than what stands before this part of it.
        var before = Math.Max(0, Math.Min(from - OnOnePage, (total - 1) / OnOnePage * OnOnePage));
        var back = from > 0 ? Markup.Of($"<a href=\"{Url.To(path)}?{parameter}={before}\">Before</a> ") : Markup.None;
        var on = from + shown < total ? Markup.Of($" <a href=\"{Url.To(path)}?{parameter}={from + OnOnePage}\">After</a>") : Markup.None;
        return Markup.Of($"<p>{back}{(shown == 0 ? "none" : string.Create(CultureInfo.InvariantCulture, $"{from + 1} to {from + shown}"))} of {total}{on}</p>");
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
            // The script of the dashboard loads the page again.
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
