using System.Collections.Concurrent;
using JobLocks.Primitives;
using JobLocks.WaitQueue;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// The runs that were woken from here a moment ago: mostly they come to this very process, which then need not look up their places.
/// Thread-safe.
/// </summary>
internal sealed class LocallyWokenRuns
{
    private const int Most = 10_000;

    // Longer ago, somebody may have changed what was true then.
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(5);

    private readonly ConcurrentDictionary<(string Store, string Run), (QueueEntry Place, TimeSpan At)> _places = new();

    public void Add(WaitingRun run)
    {
        if (_places.Count >= Most) _places.Clear();
        _places[(run.Address.Store, run.Address.Run)] = (new(run.Place, run.Key, IsWoken: true, IsOverdue: false, Verdict: null, run.Since), BootClock.Now);
    }

    /// <summary>The place of a run, once; null where it must be looked up.</summary>
    public QueueEntry? Take(RunAddress run) =>
        _places.TryRemove((run.Store, run.Run), out var woken) && BootClock.Now - woken.At < Fresh ? woken.Place : null;
}
