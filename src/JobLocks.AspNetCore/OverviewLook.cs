namespace JobLocks.AspNetCore;

/// <summary>What the overview shows, read at one moment.</summary>
internal sealed record OverviewLook(LockOverview Overview, LockPage<HeldLock> Held, LockPage<WaitingName> Waiting)
{
    private const int OnOnePage = 100;

    public static async Task<OverviewLook> ReadAsync(IJobLockInspector locks, int heldFrom, int waitingFrom, CancellationToken stop) => new(
        await locks.GetOverviewAsync(stop).ConfigureAwait(false),
        await locks.GetHeldAsync(heldFrom, OnOnePage, stop).ConfigureAwait(false),
        await locks.GetWaitingAsync(waitingFrom, OnOnePage, stop).ConfigureAwait(false));
}
