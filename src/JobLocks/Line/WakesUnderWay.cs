using System.Collections.Concurrent;
using JobLocks.Postgres;

namespace JobLocks.Line;

/// <summary>
/// The places whose stores were told by this process a moment ago and whose runs are not known to have begun: a worker will be busy with each. Thread-safe.
/// </summary>
internal sealed class WakesUnderWay
{
    // A run that has not begun by then is held back by something else than a missing worker, and must not keep others from the workers that are free.
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(5);

    private const int FewEnough = 64;

    private readonly ConcurrentDictionary<long, TimeSpan> _toldAt = new();
    private int _mostBeforeLook = FewEnough;

    /// <summary>All of them.</summary>
    public long[] Places
    {
        get
        {
            foreach (var (place, at) in _toldAt)
            {
                if (BootClock.Now - at > Longest) _toldAt.TryRemove(place, out _);
            }

            return [.. _toldAt.Keys];
        }
    }

    /// <summary>Whether so many are kept that the wait queue should be asked which have begun in other processes.</summary>
    public bool AreMany => _toldAt.Count > _mostBeforeLook;

    public void Add(IEnumerable<WaitingRun> runs)
    {
        foreach (var run in runs) _toldAt[run.Place] = BootClock.Now;
    }

    public void Remove(long place) => _toldAt.TryRemove(place, out _);

    /// <summary>Forgets those of the places that are not among the ones that still wait.</summary>
    public void Keep(IReadOnlyCollection<long> asked, IReadOnlySet<long> waiting)
    {
        foreach (var place in asked.Where(place => !waiting.Contains(place))) _toldAt.TryRemove(place, out _);
        _mostBeforeLook = Math.Max(FewEnough, 2 * _toldAt.Count);
    }
}
