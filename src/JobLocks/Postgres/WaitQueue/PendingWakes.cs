using System.Collections.Concurrent;
using JobLocks.Primitives;
using JobLocks.WaitQueue;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// The places whose stores were told by this process a moment ago and whose runs are not known to have begun: a worker will be busy with each. Thread-safe.
/// </summary>
internal sealed class PendingWakes
{
    // A run that has not begun by then is held back by something else than a missing worker, and must not keep others from the workers that are free.
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(5);

    private const int FewEnough = 64;

    // A worker that is free takes the run long before.
    private static readonly TimeSpan Usual = TimeSpan.FromSeconds(0.5);

    private readonly ConcurrentDictionary<long, (RunAddress Run, TimeSpan At)> _told = new();
    private int _mostBeforeLook = FewEnough;

    /// <summary>All of them.</summary>
    public long[] Places
    {
        get
        {
            foreach (var (place, (_, at)) in _told)
            {
                if (BootClock.Now - at > Longest) _told.TryRemove(place, out _);
            }

            return [.. _told.Keys];
        }
    }

    /// <summary>Whether so many are kept that the wait queue should be asked which have begun in other processes.</summary>
    public bool AreMany => _told.Count > _mostBeforeLook;

    /// <summary>The queues of those runs of a store that take longer to begin than they do with a free worker. After that, it is for a sweep to find them.</summary>
    public IEnumerable<string> LateQueues(string store) => _told.Values
        .Where(told => BootClock.Now - told.At is var since && since > Usual && since < Longest && string.Equals(told.Run.Store, store, StringComparison.Ordinal))
        .Select(static told => told.Run.Queue);

    public void Add(IEnumerable<WaitingRun> runs)
    {
        foreach (var run in runs) _told[run.Place] = (run.Address, BootClock.Now);
    }

    public void Remove(long place) => _told.TryRemove(place, out _);

    /// <summary>Forgets those of the places that are not among the ones that still wait.</summary>
    public void Keep(IReadOnlyCollection<long> asked, IReadOnlySet<long> waiting)
    {
        foreach (var place in asked.Where(place => !waiting.Contains(place))) _told.TryRemove(place, out _);
        _mostBeforeLook = Math.Max(FewEnough, 2 * _told.Count);
    }
}
