using System.Collections.Concurrent;
using JobLocks.Primitives;
using JobLocks.WaitQueue;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// The entry numbers of the wakes that this process has claimed recently, and whose runs are not known to have started: each will need a worker. Thread-safe.
/// </summary>
internal sealed class PendingWakes
{
    // A run that has not started by then waits for more than a worker. It must not reserve a free worker any longer.
    private static readonly TimeSpan MaxAge = TimeSpan.FromSeconds(5);

    private const int FewWakes = 64;

    // A free worker starts a run long before that.
    private static readonly TimeSpan UsualStart = TimeSpan.FromSeconds(0.5);

    private readonly ConcurrentDictionary<long, (RunAddress Run, TimeSpan At)> _deliveries = new();
    private volatile int _checkAbove = FewWakes;

    /// <summary>All entry numbers. Removes those that are too old first.</summary>
    public long[] Entries
    {
        get
        {
            foreach (var (entry, (_, at)) in _deliveries)
            {
                if (BootClock.Now - at > MaxAge) _deliveries.TryRemove(entry, out _);
            }

            return [.. _deliveries.Keys];
        }
    }

    /// <summary>Whether there are so many that the wait queue should be asked which of them have started in other processes.</summary>
    public bool AreMany => _deliveries.Count > _checkAbove;

    /// <summary>
    /// The queues of the runs of a store that have not started within UsualStart. Their scheduler may have no free worker. Runs that are older than MaxAge
    /// are left to a sweep.
    /// </summary>
    public IEnumerable<string> QueuesOfUnstartedRuns(string store) => _deliveries.Values
        .Where(delivery => BootClock.Now - delivery.At is var age && age > UsualStart && age < MaxAge && string.Equals(delivery.Run.Store, store, StringComparison.Ordinal))
        .Select(static delivery => delivery.Run.Queue);

    public void Add(IEnumerable<WaitingRun> runs)
    {
        foreach (var run in runs) _deliveries[run.Number] = (run.Address, BootClock.Now);
    }

    public void Remove(long entry) => _deliveries.TryRemove(entry, out _);

    /// <summary>Removes those of the checked entry numbers that are not pending any more.</summary>
    public void KeepPending(IReadOnlyCollection<long> checkedEntries, IReadOnlySet<long> pending)
    {
        foreach (var entry in checkedEntries.Where(entry => !pending.Contains(entry))) _deliveries.TryRemove(entry, out _);
        _checkAbove = Math.Max(FewWakes, 2 * _deliveries.Count);
    }
}
