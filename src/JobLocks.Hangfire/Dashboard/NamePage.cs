using JobLocks.Inspection;
using JobLocks.Primitives;

namespace JobLocks.Hangfire.Dashboard;

/// <summary>Who has the lock of one name, and who waits for it, in order.</summary>
internal sealed class NamePage(LockKey key) : DashboardPage("Lock")
{
    protected override Markup Render(IPageInspector locks)
    {
        var from = From("skip");
        var name = Blocking.Wait(locks.Pages.ReadNameAsync(key, from, run: null, CancellationToken.None));
        var line = name.Waiting;
        return Markup.Of(
            $"""
            <ol class="breadcrumb"><li><a href="{Url.To(LocksDashboard.Path)}">Locks</a></li><li>{key.Value}</li></ol>
            <h1 class="page-header"><bdi>{(name.Name is null ? $"key {key}" : DisplayText.Name(name.Name))}</bdi></h1>
            <p>{name.Runs} runs since it was first seen, usual hold {Usual(name.UsualHold)}, {name.Refused} refused, {name.Waited} waited.</p>
            <h3>Held by</h3>
            {Held(name)}
            <h3>Waiting, in order</h3>
            {Line(line)}{Pager($"{LocksDashboard.Path}/names/{key}", "skip", from, line.Items.Count, line.Total)}
            """);
    }

    private Markup Held(NamedLock name) => name.Held.Count == 0
        ? Markup.Of($"<div class=\"alert alert-success\">Nobody. Whoever takes it appears here.</div>")
        : Markup.Of(
            $"""
            <div class="table-responsive"><table class="table">
            <thead><tr><th>Holder</th><th class="min-width">Since</th><th class="min-width">Mode</th><th class="min-width"></th></tr></thead>
            <tbody>{Markup.Join(name.Held.Select(one => Markup.Of(
                $"<tr><td>{Holder(one.Holder)}</td><td class=\"min-width\">{Since(one.Holder)}</td><td class=\"min-width\">{Mode(one.Mode)}</td><td class=\"min-width\">{Release(one)}</td></tr>")))}</tbody>
            </table></div>
            """);

    private Markup Release(HeldLock one) => IsReadOnly || one.Holder.IsForeign || !LocksDashboard.CanTellWhoAsks(Context)
        ? Markup.None
        : Markup.Of(
            $"<button class=\"btn btn-default btn-xs\" data-ajax=\"{Url.To($"{LocksDashboard.Path}/names/{key}/release/{one.Key}")}\" data-confirm=\"The run is cancelled, and the lock is free when it has ended.\" data-loading-text=\"Asking\">Ask to let go</button>");

    private Markup Line(LockPage<QueuedRun> line) => line.Total == 0
        ? Markup.Of($"<div class=\"alert alert-success\">No run waits for it.</div>")
        : Markup.Of(
            $"""
            <div class="table-responsive"><table class="table">
            <thead><tr><th class="min-width">Place</th><th>Run</th><th class="min-width">Since</th><th class="min-width">Mode</th><th class="min-width">Its turn</th></tr></thead>
            <tbody>{Markup.Join(line.Items.Select(one => Markup.Of(
                $"<tr><td class=\"min-width\">{one.Place}</td><td>{Run(one)}</td><td class=\"min-width\">{Time(one.Since)}</td><td class=\"min-width\">{Mode(one.Mode)}</td><td class=\"min-width\">{Turn(one)}</td></tr>")))}</tbody>
            </table></div>
            """);

    private Markup Turn(QueuedRun one) => one switch
    {
        { IsServed: false } => Markup.Of($"<strong title=\"{UnservedNotice.OfRun}\">not served</strong>"),
        { TurnCame: { } turn } => Markup.Of($"came {Time(turn)}"),
        _ => Markup.Of($"<em>not yet</em>"),
    };

    /// <summary>A job of this storage leads to its page; that of another has none here.</summary>
    private Markup Run(QueuedRun run) => string.Equals(run.Store, Store, StringComparison.Ordinal)
        ? Markup.Of($"<a href=\"{Url.JobDetails(run.Job ?? run.Run)}\">job <bdi>{DisplayText.Name(run.Job ?? run.Run)}</bdi></a>")
        : Markup.Of($"<bdi>{DisplayText.Name($"{run.Scheduler} {run.Job ?? run.Run}")}</bdi>");
}
