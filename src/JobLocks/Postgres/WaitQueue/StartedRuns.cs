using System.Collections.Concurrent;
using JobLocks.WaitQueue;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Runs that this process has admitted while their entries could not be removed: the table was locked, or the server did not answer. Such an entry would let
/// other runs be dropped for a run that does not wait any more. Thread-safe, except <see cref="RemoveEntries"/>.
/// </summary>
internal sealed class StartedRuns
{
    // Where the role has lost its rights on the table for good, no entry is ever removed.
    private const int Most = 10_000;

    private readonly ConcurrentDictionary<(string Store, string Run), bool> _runs = new();

    /// <summary>The entry of this run is to be removed. The next sweep does it.</summary>
    public void Add(RunAddress run)
    {
        if (_runs.Count < Most) _runs[(run.Store, run.Run)] = true;
    }

    /// <summary>The run waits again: its entry is not to be removed.</summary>
    public void Remove(RunAddress run)
    {
        if (!_runs.IsEmpty) _runs.TryRemove((run.Store, run.Run), out _);
    }

    /// <summary>Removes the entries, and wakes the next runs. Used by the thread of the <see cref="WakeDispatcher"/> alone.</summary>
    public void RemoveEntries(RunWaker waker)
    {
        if (_runs.IsEmpty) return;

        var runs = _runs.Keys.ToList();
        waker.RemoveAndWakeNext(
            EntrySql.RemoveStarted,
            new NpgsqlParameter<string[]> { TypedValue = [.. runs.Select(static run => run.Store)] },
            new NpgsqlParameter<string[]> { TypedValue = [.. runs.Select(static run => run.Run)] });
        foreach (var run in runs) _runs.TryRemove(run, out _);
    }
}
