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

    /// <summary>Keeps the entry of a woken run.</summary>
    /// <param name="run">The run.</param>
    /// <param name="wokenAt">When the run was woken, on the <see cref="BootClock"/>; null if its lock may have been held since.</param>
    public void Add(WaitingRun run, TimeSpan? wokenAt)
    {
        if (_entries.Count >= MaxRuns) _entries.Clear();
        var entry = new QueueEntry(run.Number, run.Key, BypassesQueue: true, IsOverdue: false, SkipReason: null, run.Since) { WokenAt = wokenAt };
        _entries[(run.Address.Store, run.Address.Run)] = (entry, BootClock.Now);
    }

    /// <summary>The entry of the run was removed or changed: it must be read.</summary>
    public void Remove(RunAddress run) => _entries.TryRemove((run.Store, run.Run), out _);

    /// <summary>The entry of a woken run; null where it must be read. Returns it only once.</summary>
    public QueueEntry? Take(RunAddress run) =>
        _entries.TryRemove((run.Store, run.Run), out var woken) && BootClock.Now - woken.At < MaxAge ? woken.Entry : null;
}
