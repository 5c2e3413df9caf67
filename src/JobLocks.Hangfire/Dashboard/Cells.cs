using Hangfire.Dashboard;
using JobLocks.Inspection.Pages;
using JobLocks.Primitives;

namespace JobLocks.Hangfire.Dashboard;

/// <summary>The HTML of the cells in Hangfire's dashboard. Jobs of its storage link to their pages.</summary>
/// <param name="url">Builds the addresses of the dashboard.</param>
/// <param name="html">Renders instants.</param>
/// <param name="store">The name of the storage, to recognize its jobs among the runs of several stores; null if the storage cannot be asked.</param>
internal sealed class Cells(UrlHelper url, HtmlHelper html, string? store) : ICellHtml
{
    private const string Job = "Hangfire job ";

    public Markup LockName(LockKey key, string text, string title) => Markup.Of($"<a href=\"{url.To($"{LocksDashboard.Path}/names/{key}")}\" title=\"{title}\"><bdi>{text}</bdi></a>");

    public Markup Holder(LockHolder holder, string text)
    {
        if (holder.IsForeign) return Markup.Of($"<bdi>{text}</bdi> <span class=\"label label-warning\">foreign</span>");
        if (holder.Run?.StartsWith(Job, StringComparison.Ordinal) != true || holder.Store is null || !string.Equals(holder.Store, store, StringComparison.Ordinal)) return Markup.Of($"<bdi>{text}</bdi>");

        return Markup.Of($"{LinkTo(holder.Run[Job.Length..])}<br><bdi>{DisplayText.OneLine((holder with { Run = null }).ToString())}</bdi>");
    }

    public Markup Run(QueuedRun run, string text, string title) =>
        string.Equals(run.Store, store, StringComparison.Ordinal) ? LinkTo(run.Job ?? run.Run) : Markup.Of($"<bdi title=\"{title}\">{text}</bdi>");

    /// <summary>An instant. Hangfire's script shows the elapsed time.</summary>
    public Markup Instant(DateTimeOffset at) => new(html.RelativeTime(at.UtcDateTime).ToString());

    public Markup Missing(string text) => Markup.Of($"<em>{text}</em>");

    private Markup LinkTo(string job) => Markup.Of($"<a href=\"{url.JobDetails(job)}\">job <bdi>{DisplayText.Name(job)}</bdi></a>");
}
