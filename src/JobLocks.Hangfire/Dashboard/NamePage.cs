using JobLocks.Inspection;
using JobLocks.Primitives;

namespace JobLocks.Hangfire.Dashboard;

/// <summary>Shows the holders of row lock name, and its waiting runs in order.</summary>
internal sealed class NamePage(LockKey key) : DashboardPage("Lock")
{
    protected override Markup Render(IPageInspector locks)
    {
        var from = From("skip");
        var name = Blocking.Wait(locks.Pages.ReadNameAsync(key, from, run: null, CancellationToken.None));
        var waiting = name.Waiting;
        return Markup.Of(
            $"""
            <ol class="breadcrumb"><li><a href="{Url.To(LocksDashboard.Path)}">Locks</a></li><li>{key.Value}</li></ol>
            <h1 class="page-header"><bdi>{(name.Name is null ? $"key {key}" : DisplayText.Name(name.Name))}</bdi></h1>
            <p>{name.Runs} runs since it was first seen, usual hold {Usual(name.UsualHold)}, {name.Refused} refused, {name.Waited} waited.</p>
            <h3>Held by</h3>
            {Held(name)}
            <h3>Waiting, in order</h3>
            {Waiters(waiting)}{Pager($"{LocksDashboard.Path}/names/{key}", "skip", from, waiting.Items.Count, waiting.Total)}
            """);
    }

    private Markup Held(NamedLock name) => name.Held.Count == 0
        ? Markup.Of($"<div class=\"alert alert-success\">It is free. The next holder appears here.</div>")
        : Markup.Of(
            $"""
            <div class="table-responsive"><table class="table">
            <thead><tr><th>Holder</th><th class="min-width">Since</th><th class="min-width">Mode</th><th class="min-width"></th></tr></thead>
            <tbody>{Markup.Join(name.Held.Select(row => Markup.Of(
                $"<tr><td>{Holder(row.Holder)}</td><td class=\"min-width\">{Since(row.Holder)}</td><td class=\"min-width\">{Mode(row.Mode)}</td><td class=\"min-width\">{Release(row)}</td></tr>")))}</tbody>
            </table></div>
            """);

    private Markup Release(HeldLock held) => IsReadOnly || held.Holder.IsForeign || !LocksDashboard.HasAntiforgeryToken(Context)
        ? Markup.None
        : Markup.Of(
            $"<button class=\"btn btn-default btn-xs\" data-ajax=\"{Url.To($"{LocksDashboard.Path}/names/{key}/release/{held.Key}")}\" data-confirm=\"The run is cancelled, and the lock is free when it has ended.\" data-loading-text=\"Asking\">Ask to let go</button>");

    private Markup Waiters(LockPage<QueuedRun> waiting) => waiting.Total == 0
        ? Markup.Of($"<div class=\"alert alert-success\">No run waits for it.</div>")
        : Markup.Of(
            $"""
            <div class="table-responsive"><table class="table">
            <thead><tr><th class="min-width">Place</th><th>Run</th><th class="min-width">Since</th><th class="min-width">Mode</th><th class="min-width">Its turn</th></tr></thead>
            <tbody>{Markup.Join(waiting.Items.Select(row => Markup.Of(
                $"<tr><td class=\"min-width\">{row.Place}</td><td>{Run(row)}</td><td class=\"min-width\">{Time(row.Since)}</td><td class=\"min-width\">{Mode(row.Mode)}</td><td class=\"min-width\">{WakeState(row)}</td></tr>")))}</tbody>
            </table></div>
            """);

    private Markup WakeState(QueuedRun run) => run switch
    {
        { IsServed: false } => Markup.Of($"<strong title=\"{UnservedNotice.OfRun}\">not served</strong>"),
        { TurnCame: { } wokenAt } => Markup.Of($"came {Time(wokenAt)}"),
        _ => Markup.Of($"<em>not yet</em>"),
    };

    /// <summary>A waiting run. A job of this storage links to its page; a run of another store has no page here.</summary>
    private Markup Run(QueuedRun run) => string.Equals(run.Store, Store, StringComparison.Ordinal)
        ? Markup.Of($"<a href=\"{Url.JobDetails(run.Job ?? run.Run)}\">job <bdi>{DisplayText.Name(run.Job ?? run.Run)}</bdi></a>")
        : Markup.Of($"<bdi>{DisplayText.Name($"{run.Scheduler} {run.Job ?? run.Run}")}</bdi>");
}
