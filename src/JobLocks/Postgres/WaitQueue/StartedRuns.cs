using System.Collections.Concurrent;
using JobLocks.WaitQueue;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Runs that this process has admitted while their entries could not be removed: the table was locked, or the server did not answer. Such an entry would
/// let other runs be skipped or failed for a run that does not wait any more. Thread-safe, except <see cref="RemoveEntries"/>.
/// </summary>
internal sealed class StartedRuns
{
    // Where the role has lost its rights on the table for good, no entry is ever removed.
    private const int Most = 10_000;

    // The value tells a note from a later one of the same run.
    private readonly ConcurrentDictionary<(string Store, string Run), object> _runs = new();

    /// <summary>The entry of this run is to be removed. The next sweep does it.</summary>
    public void Add(RunAddress run)
    {
        if (_runs.Count < Most) _runs[(run.Store, run.Run)] = new();
    }

    /// <summary>The run waits again, or asks for its lock again: its entry is not to be removed.</summary>
    public void Remove(RunAddress run)
    {
        if (!_runs.IsEmpty) _runs.TryRemove((run.Store, run.Run), out _);
    }

    /// <summary>
    /// Removes the entries of the runs that do not wait, as their stores say: meanwhile a run may have been parked again, also by another process. Used by
    /// the thread of the <see cref="WakeDispatcher"/> alone.
    /// </summary>
    public void RemoveEntries(KnownStores stores, RunWaker waker)
    {
        foreach (var ofStore in _runs.ToArray().GroupBy(static note => note.Key.Store, StringComparer.Ordinal))
        {
            // The process that sweeps for the store finds the entry.
            var states = stores.Find(ofStore.Key) is not { } store ? []
                : waker.Calls.CallStore([.. ofStore.Select(static note => ToWaitingRun(note.Key))], store.GetStatesAsync).ToList();
            var started = states.Where(static run => run.State is ParkedRunState.Started or ParkedRunState.Gone).Select(static run => run.Run.Address.Run)
                .Where(run => _runs.ContainsKey((ofStore.Key, run))).ToArray();
            if (started.Length > 0)
                waker.Execute(EntrySql.RemoveStarted, new NpgsqlParameter<string> { TypedValue = ofStore.Key }, new NpgsqlParameter<string[]> { TypedValue = started });
            foreach (var note in ofStore) _runs.TryRemove(note);
        }
    }

    private static WaitingRun ToWaitingRun((string Store, string Run) run) =>
        new(Number: 0, default, "", new(run.Store, run.Run, ""), IsParked: true, IsDeliveryClaimed: false, default);
}
