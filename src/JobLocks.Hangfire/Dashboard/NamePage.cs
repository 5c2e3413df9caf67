using JobLocks.Inspection;
using JobLocks.Inspection.Pages;
using JobLocks.Primitives;

namespace JobLocks.Hangfire.Dashboard;

/// <summary>Shows the holders of a lock name, and its waiting runs in order.</summary>
internal sealed class NamePage(LockKey key) : DashboardPage("Lock")
{
    protected override Markup Render(IPageInspector locks)
    {
        var from = From("skip");
        var name = Blocking.Wait(locks.Pages.ReadNameAsync(key, from, run: null, CancellationToken.None));
        return Markup.Of(
            $"""
            <ol class="breadcrumb"><li><a href="{Url.To(LocksDashboard.Path)}">Locks</a></li><li>{key.Value}</li></ol>
            <h1 class="page-header"><bdi>{PageTexts.NameOf(key, name.Name)}</bdi></h1>
            <p>{name.Runs} runs since it was first seen, usual hold {LockTables.UsualHold(name.UsualHold, Cells)}, {name.Refused} refused, {name.Waited} waited. {PageTexts.FreeWhileWaiting(name.LastHour)}</p>
            <h3>{LockTables.Holders.Heading}</h3>
            {(name.Held.Count == 0 ? Empty(LockTables.Holders.WhenEmpty) : Table(LockTables.Holders.Columns, name.Held, Release))}
            <h3>{LockTables.QueuedRuns.Heading}</h3>
            {(name.Waiting.Total == 0 ? Empty(LockTables.QueuedRuns.WhenEmpty) : Table(LockTables.QueuedRuns.Columns, name.Waiting.Items))}{Pager($"{LocksDashboard.Path}/names/{key}", "skip", ListPart.Of(name.Waiting, from))}
            <h3>{TimelineTexts.Heading}</h3>
            {Timeline(name.Timeline)}
            """);
    }

    private Markup Timeline(LockTimeline? timeline) => timeline switch
    {
        null => Empty(TimelineTexts.WhenUnreadable),
        { Runs.Count: 0 } => Empty(TimelineTexts.WhenEmpty),
        _ => TimelinePlot.Render(timeline, Cells),
    };

    private Markup Release(HeldLock held) => IsReadOnly || held.Holder.IsForeign || !LocksDashboard.HasAntiforgeryToken(Context)
        ? Markup.None
        : Markup.Of(
            $"<button class=\"btn btn-default btn-xs\" data-ajax=\"{Url.To($"{LocksDashboard.Path}/names/{key}/release/{held.Key}")}\" data-confirm=\"The run is cancelled, and the lock is free when it has ended.\" data-loading-text=\"Asking\">{PageTexts.RequestRelease}</button>");
}
