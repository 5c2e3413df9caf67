namespace JobLocks.AspNetCore.Tests;

/// <summary>Says how often it is asked for what is held.</summary>
internal sealed class CountedInspector(IJobLockInspector inner, Action asked) : IJobLockInspector
{
    public Task<LockOverview> GetOverviewAsync(CancellationToken stop = default) => inner.GetOverviewAsync(stop);

    public Task<LockSnapshot> GetSnapshotAsync(int heldSkip = 0, int waitingSkip = 0, int take = 100, CancellationToken stop = default)
    {
        asked();
        return inner.GetSnapshotAsync(heldSkip, waitingSkip, take, stop);
    }

    public Task<LockPage<HeldLock>> GetHeldAsync(int skip = 0, int take = 100, CancellationToken stop = default)
    {
        asked();
        return inner.GetHeldAsync(skip, take, stop);
    }

    public Task<LockPage<WaitingName>> GetWaitingAsync(int skip = 0, int take = 100, CancellationToken stop = default) => inner.GetWaitingAsync(skip, take, stop);

    public Task<LockPage<QueuedRun>> GetWaitingAsync(LockKey key, int skip = 0, int take = 100, CancellationToken stop = default) => inner.GetWaitingAsync(key, skip, take, stop);

    public Task<NamedLock> GetNameAsync(LockKey key, CancellationToken stop = default) => inner.GetNameAsync(key, stop);

    public Task<NamedLock> GetNameAsync(LockKey key, int skip, int take, string? run = null, CancellationToken stop = default) => inner.GetNameAsync(key, skip, take, run, stop);

    public Task<IReadOnlyList<LockMatch>> FindAsync(string text, CancellationToken stop = default) => inner.FindAsync(text, stop);

    public Task<string?> ExplainAsync(string run, CancellationToken stop = default) => inner.ExplainAsync(run, stop);

    public Task<ReleaseAnswer> RequestReleaseAsync(LockKey key, string by, TimeSpan? atMost = null, CancellationToken stop = default) => inner.RequestReleaseAsync(key, by, atMost, stop);

    public Task<bool> EndSessionAsync(int backend, string by, CancellationToken stop = default) => inner.EndSessionAsync(backend, by, stop);
}
