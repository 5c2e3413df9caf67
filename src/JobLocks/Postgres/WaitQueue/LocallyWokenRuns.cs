using System.Collections.Concurrent;
using JobLocks.Primitives;
using JobLocks.WaitQueue;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Runs that this process woke itself, or whose deferred wake it claimed, recently. Most of them start in this process. Their entries are then not read again.
/// Thread-safe.
/// </summary>
internal sealed class LocallyWokenRuns
{
    private const int MaxRuns = 10_000;

    // Another process may have changed an older entry since.
    private static readonly TimeSpan MaxAge = TimeSpan.FromSeconds(5);

    private readonly ConcurrentDictionary<(string Store, string Run), (QueueEntry Entry, TimeSpan At)> _entries = new();

    public void Add(WaitingRun run)
    {
        if (_entries.Count >= MaxRuns) _entries.Clear();
        _entries[(run.Address.Store, run.Address.Run)] = (new(run.Number, run.Key, BypassesQueue: true, IsOverdue: false, SkipReason: null, run.Since), BootClock.Now);
    }

    /// <summary>The entry of the run was removed or changed: it must be read.</summary>
    public void Remove(RunAddress run) => _entries.TryRemove((run.Store, run.Run), out _);

    /// <summary>The entry of a woken run; null where it must be read. Returns it only once.</summary>
    public QueueEntry? Take(RunAddress run) =>
        _entries.TryRemove((run.Store, run.Run), out var woken) && BootClock.Now - woken.At < MaxAge ? woken.Entry with { WokenAt = woken.At } : null;
}
