namespace JobLocks.Inspection;

/// <summary>Looks for the pages and the JSON of this process, whichever dashboard shows them: what several viewers ask is read once. Thread-safe.</summary>
internal sealed class PageLooks(IJobLockInspector locks)
{
    private const int OnOnePage = 100;

    // The beginning of the overview reads most, and most look at it.
    private const int OverviewAgain = 20;

    private static readonly TimeSpan BetweenOverviews = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan BetweenOthers = TimeSpan.FromMilliseconds(250);

    private readonly SharedReadings _readings = new();
    private readonly AnswerPace _pace = new();

    /// <summary>The beginning of the overview, once a second for all viewers together: it may be as old as that.</summary>
    public Task<LockSnapshot> ReadOverviewAsync(CancellationToken stop) =>
        ReadAsync("overview", BetweenOverviews, OverviewAgain, () => locks.GetSnapshotAsync(take: OnOnePage), stop);

    /// <summary>Held and waiting locks, from some of each on.</summary>
    public Task<LockSnapshot> ReadSnapshotAsync(int heldFrom, int waitingFrom, CancellationToken stop) =>
        ReadAsync((nameof(LockSnapshot), heldFrom, waitingFrom), look => look.GetSnapshotAsync(heldFrom, waitingFrom, OnOnePage), stop);

    /// <summary>Everything about one name, and why one run waits.</summary>
    public Task<NamedLock> ReadNameAsync(LockKey key, int from, string? run, CancellationToken stop) =>
        ReadAsync((nameof(NamedLock), key, from, run), look => look.GetNameAsync(key, from, OnOnePage, run), stop);

    /// <summary>What is found for a text.</summary>
    public Task<IReadOnlyList<LockMatch>> FindAsync(string text, CancellationToken stop) => ReadAsync((nameof(LockMatch), text), look => look.FindAsync(text), stop);

    /// <summary>Why a run does not start.</summary>
    public Task<string?> ExplainAsync(string run, string? store, CancellationToken stop) => ReadAsync(
        (nameof(QueuedRun), run, store), look => look is IPageInspector own ? own.ExplainAsync(run, store, CancellationToken.None) : look.ExplainAsync(run), stop);

    /// <summary>Anything else.</summary>
    /// <param name="question">What is asked, see <see cref="SharedReadings"/>.</param>
    /// <param name="read">Reads it.</param>
    /// <param name="stop">Gives up.</param>
    public Task<T> ReadAsync<T>(object question, Func<IJobLockInspector, Task<T>> read, CancellationToken stop) => ReadAsync(question, BetweenOthers, again: 0, () => read(locks), stop);

    /// <summary>Call it after an action: all later looks show its result.</summary>
    public void Forget() => _readings.Forget();

    private async Task<T> ReadAsync<T>(object question, TimeSpan pause, int again, Func<Task<T>> read, CancellationToken stop)
    {
        if (_pace.Next() is var wait && wait > TimeSpan.Zero) await Task.Delay(wait, stop).ConfigureAwait(false);

        return await _readings.ReadAsync(question, pause, again, read, stop).ConfigureAwait(false);
    }
}
