using JobLocks.Inspection;
using JobLocks.Inspection.Pages;
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
            <h3>{SamplesPlot.Heading}</h3>
            {(overview.Samples.Count == 0 ? Empty(SamplesPlot.WhenEmpty) : SamplesPlot.Render(overview.Samples, overview.At, Cells))}
            <h3>{LockTables.WaitingNames.Heading}</h3>
            {Waiting(waiting)}{Pager(LocksDashboard.Path, "waiting", ListPart.Of(waiting, waitingFrom))}
            <h3>{LockTables.HeldLocks.Heading}</h3>
            {Held(held)}{Pager(LocksDashboard.Path, "held", ListPart.Of(held, heldFrom))}
            """);
    }

    private static Markup InternalHolders(IReadOnlyList<InternalLockHolder> holders) => holders.Count == 0
        ? Markup.None
        : Markup.Of(
            $"""
            <div class="alert alert-warning">{PageTexts.InternalLocks}
            {Markup.Join(holders.Select(static holder => Markup.Of($"<br><bdi>{DisplayText.OneLine(holder.ToString())}</bdi>")))}</div>
            """);

    private Markup Waiting(LockPage<WaitingName> waiting) => waiting.Total == 0
        ? Empty(LockTables.WaitingNames.WhenEmpty)
        : Markup.Of(
            $"""
            {Table(LockTables.WaitingNames.Columns, waiting.Items)}
            {(waiting.Items.Any(static row => row.Unserved > 0) ? Markup.Of($"<div class=\"alert alert-warning\">{PageTexts.UnservedRuns}</div>") : Markup.None)}
            """);

    private Markup Held(LockPage<HeldLock> held) => held.Total == 0 ? Empty(LockTables.HeldLocks.WhenEmpty) : Table(LockTables.HeldLocks.Columns, held.Items);
}
