using JobLocks.Inspection;
using JobLocks.Primitives;

namespace JobLocks.Hangfire.Dashboard;

/// <summary>Shows the held locks, and the lock names with waiting runs.</summary>
internal sealed class LocksPage() : DashboardPage("Locks")
{
    protected override Markup Render(IPageInspector locks)
    {
        var (heldFrom, waitingFrom) = (From("held"), From("waiting"));
        var (overview, held, waiting) = Blocking.Wait(locks.Pages.ReadSnapshotAsync(heldFrom, waitingFrom, CancellationToken.None));
        LocksDashboard.KeepCount(Storage, held.Total);
        return Markup.Of(
            $"""
            <h1 class="page-header">Locks</h1>
            {InternalHolders(overview.InternalLockHolders)}
            <h3>Waiting</h3>
            {Waiting(waiting)}{Pager(LocksDashboard.Path, "waiting", waitingFrom, waiting.Items.Count, waiting.Total)}
            <h3>Held</h3>
            {Held(held)}{Pager(LocksDashboard.Path, "held", heldFrom, held.Items.Count, held.Total)}
            """);
    }

    private static Markup InternalHolders(IReadOnlyList<InternalLockHolder> holders) => holders.Count == 0
        ? Markup.None
        : Markup.Of(
            $"""
            <div class="alert alert-warning">A program that is not JobLocks holds locks that JobLocks needs for its own work.
            {Markup.Join(holders.Select(static holder => Markup.Of($"<br><bdi>{DisplayText.OneLine(holder.ToString())}</bdi>")))}</div>
            """);

    private Markup Waiting(LockPage<WaitingName> waiting) => waiting.Total == 0
        ? Markup.Of($"<div class=\"alert alert-success\">No run waits. A run that meets a held lock appears here, with its place in the line.</div>")
        : Markup.Of(
            $"""
            <div class="table-responsive"><table class="table">
            <thead><tr><th>Name</th><th class="min-width">Runs</th><th class="min-width">First since</th><th>Held by</th><th class="min-width">Usual hold</th></tr></thead>
            <tbody>{Markup.Join(waiting.Items.Select(row => Markup.Of(
                $"<tr><td class=\"word-break\">{Link(row.Key, row.Name)}</td><td class=\"min-width\">{row.Length}{NotServed(row)}</td><td class=\"min-width\">{Time(row.Since)}</td><td>{(row.Holder is { } holder ? Holder(holder) : Markup.Of($"<em>no holder at the moment</em>"))}</td><td class=\"min-width\">{Usual(row.UsualHold)}</td></tr>")))}</tbody>
            </table></div>
            {(waiting.Items.Any(static row => row.Unserved > 0) ? Markup.Of($"<div class=\"alert alert-warning\">{UnservedNotice.OfRuns}</div>") : Markup.None)}
            """);

    private static Markup NotServed(WaitingName name) => name.Unserved == 0 ? Markup.None : Markup.Of($" <strong>{name.Unserved} not served</strong>");

    private Markup Held(LockPage<HeldLock> held) => held.Total == 0
        ? Markup.Of($"<div class=\"alert alert-success\">Nothing is held. A lock appears here while a run, or a program in any language, has it.</div>")
        : Markup.Of(
            $"""
            <div class="table-responsive"><table class="table">
            <thead><tr><th>Name</th><th>Held by</th><th class="min-width">Since</th><th class="min-width">Mode</th><th class="min-width">Usual hold</th></tr></thead>
            <tbody>{Markup.Join(held.Items.Select(row => Markup.Of(
                $"<tr><td class=\"word-break\">{Link(row.Line, row.Name)}</td><td>{Holder(row.Holder)}</td><td class=\"min-width\">{Since(row.Holder)}</td><td class=\"min-width\">{Mode(row.Mode)}</td><td class=\"min-width\">{Usual(row.UsualHold)}</td></tr>")))}</tbody>
            </table></div>
            """);
}
