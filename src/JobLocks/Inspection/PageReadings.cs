using JobLocks.Inspection.Pages;

namespace JobLocks.Inspection;

/// <summary>Reads for the pages and the JSON of all dashboards of this process. Viewers with the same question share one reading. Thread-safe.</summary>
internal sealed class PageReadings(IJobLockInspector locks)
{
    // The first page of the overview is the most expensive reading, and the most requested one.
    private const int OverviewReuses = 20;

    private static readonly TimeSpan OverviewPause = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan OtherPause = TimeSpan.FromMilliseconds(250);

    private readonly SharedReadings _readings = new();
    private readonly AnswerThrottle _pace = new();

    /// <summary>The first page of the overview. It is read at most once a second for all viewers together, so it may be one second old.</summary>
    public Task<LockSnapshot> ReadOverviewAsync(CancellationToken stop) =>
        ReadAsync("overview", OverviewPause, OverviewReuses, () => locks.GetSnapshotAsync(take: ListPart.Size), stop);

    /// <summary>A page of the held locks and a page of the names for which runs wait.</summary>
    public Task<LockSnapshot> ReadSnapshotAsync(int heldFrom, int waitingFrom, CancellationToken stop) =>
        ReadAsync((nameof(LockSnapshot), heldFrom, waitingFrom), inspector => inspector.GetSnapshotAsync(heldFrom, waitingFrom, ListPart.Size), stop);

    /// <summary>All data about one name, with a page of the waiting runs, and why one run waits.</summary>
    public Task<NamedLock> ReadNameAsync(LockKey key, int from, string? run, CancellationToken stop) =>
        ReadAsync((nameof(NamedLock), key, from, run), inspector => inspector.GetNameAsync(key, from, ListPart.Size, run), stop);

    /// <summary>The locks that a search for a text finds.</summary>
    public Task<IReadOnlyList<LockMatch>> FindAsync(string text, CancellationToken stop) => ReadAsync((nameof(LockMatch), text), inspector => inspector.FindAsync(text), stop);

    /// <summary>Why a run does not start.</summary>
    public Task<string?> ExplainAsync(string run, string? store, CancellationToken stop) => ReadAsync(
        (nameof(QueuedRun), run, store), inspector => inspector is IPageInspector pages ? pages.ExplainAsync(run, store, CancellationToken.None) : inspector.ExplainAsync(run), stop);

    /// <summary>Any other reading.</summary>
    /// <param name="question">Identifies the question, see <see cref="SharedReadings"/>.</param>
    /// <param name="read">Reads the answer.</param>
    /// <param name="stop">Cancels the call.</param>
    public Task<T> ReadAsync<T>(object question, Func<IJobLockInspector, Task<T>> read, CancellationToken stop) => ReadAsync(question, OtherPause, reuses: 0, () => read(locks), stop);

    /// <summary>Call it after an action, so that all later readings show the result of the action.</summary>
    public void Clear() => _readings.Clear();

    private async Task<T> ReadAsync<T>(object question, TimeSpan pause, int reuses, Func<Task<T>> read, CancellationToken stop)
    {
        if (_pace.Next() is var wait && wait > TimeSpan.Zero) await Task.Delay(wait, stop).ConfigureAwait(false);

        return await _readings.ReadAsync(question, pause, reuses, read, stop).ConfigureAwait(false);
    }
}
