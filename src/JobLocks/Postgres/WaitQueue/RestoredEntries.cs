using JobLocks.Diagnostics;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Restores entries of the wait queue that were lost while their runs wait in a job store: an operator has emptied or dropped the table. Each process
/// restores the entries of runs that it has parked, since it knows their entry numbers. Used by the thread of the <see cref="WakeDispatcher"/> alone.
/// </summary>
internal sealed class RestoredEntries(PooledStatements statements, RunWaker waker, ILogger log)
{
    private const int MaxChecked = 5_000;
    private const int MaxAsked = 100;
    private const int SampleSize = 10;

    private static readonly TimeSpan CheckInterval = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan LongestCheck = TimeSpan.FromSeconds(0.5);

    private readonly Dictionary<string, (long After, TimeSpan NextAt)> _progress = new(StringComparer.Ordinal);

    /// <summary>Checks the next entries of a store, and restores those that are missing. If time runs out, the next sweep continues.</summary>
    public void Restore(IRunStore store)
    {
        var id = store.Id!;
        var progress = _progress.GetValueOrDefault(id);
        if (BootClock.Now < progress.NextAt) return;

        var parked = waker.LocallyParked.Of(id);
        var next = parked.Where(entry => entry.Number > progress.After).Take(MaxChecked).ToList();
        if (next.Count == 0) next = [.. parked.Take(MaxChecked)];
        var missing = next.Count == 0 ? [] : FindMissing(id, next);
        var since = BootClock.Now;
        if (!RemoveIfEnded(store, missing))
        {
            foreach (var chunk in missing.Chunk(MaxAsked))
            {
                if (BootClock.Now - since > LongestCheck) return;

                Restore(store, chunk);
            }
        }

        _progress[id] = (next.Count < MaxChecked ? 0 : next[^1].Number, BootClock.Now + CheckInterval);
    }

    /// <summary>
    /// Whether many runs have no entry because other processes have run them, which is normal if several processes share a store. Asks the job store about
    /// ten of them. If none of the ten waits, removes all <paramref name="missing"/> entries from the memory of this process, and returns true.
    /// </summary>
    private bool RemoveIfEnded(IRunStore store, List<QueueEntry> missing)
    {
        if (missing.Count <= SampleSize) return false;

        List<QueueEntry> sample = [.. Enumerable.Range(0, SampleSize).Select(nth => missing[(nth + 1) * missing.Count / SampleSize - 1])];
        if (AskForStates(store, sample).Gone.Count < sample.Count) return false;

        foreach (var entry in missing) waker.LocallyParked.Remove(entry);
        return true;
    }

    private void Restore(IRunStore store, QueueEntry[] missing)
    {
        var (waiting, _) = AskForStates(store, missing);
        if (waiting.Count == 0) return;

        var restored = Blocking.Wait(statements.ReadAsync(
            EntrySql.Restore, static row => row.GetInt64(0), blocks: true, CancellationToken.None, EntryParameters.ToRestore(waiting)).AsTask()).ToHashSet();
        if (restored.Count > 0) log.Restored(restored.Count, DisplayText.Name(store.Id!));
        // Another process may have started one of them after the store was asked.
        List<QueueEntry> restoredEntries = [.. waiting.Where(entry => restored.Contains(entry.Number))];
        var (_, gone) = AskForStates(store, restoredEntries);
        if (gone.Count > 0) waker.Execute(EntrySql.Remove, new NpgsqlParameter<long[]> { TypedValue = [.. gone.Select(static entry => entry.Number)] });
    }

    /// <summary>Which runs wait in their store, and which do not: this process forgets the latter. The store may not answer for some of them.</summary>
    private (List<QueueEntry> Waiting, List<QueueEntry> Gone) AskForStates(IRunStore store, IReadOnlyList<QueueEntry> entries)
    {
        var (waiting, gone) = (new List<QueueEntry>(), new List<QueueEntry>());
        if (entries.Count == 0) return (waiting, gone);

        var byNumber = entries.ToDictionary(static entry => entry.Number);
        foreach (var (run, state) in waker.Calls.CallStore([.. entries.Select(static entry => ToWaitingRun(entry))], store.GetStatesAsync))
            (state == ParkedRunState.Parked ? waiting : gone).Add(byNumber[run.Number]);
        foreach (var entry in gone) waker.LocallyParked.Remove(entry);
        return (waiting, gone);
    }

    /// <summary>
    /// The entries that the table does not have. A run that has another entry was parked again, perhaps by another process, and its old entry is forgotten.
    /// </summary>
    private List<QueueEntry> FindMissing(string store, IReadOnlyList<QueueEntry> entries)
    {
        var missing = Blocking.Wait(statements.ReadAsync(
            EntrySql.WithoutEntry,
            static row => (Number: row.GetInt64(0), IsParkedAnew: row.GetBoolean(1)),
            blocks: true,
            CancellationToken.None,
            new NpgsqlParameter<string> { TypedValue = store },
            new NpgsqlParameter<long[]> { TypedValue = [.. entries.Select(static entry => entry.Number)] },
            new NpgsqlParameter<string[]> { TypedValue = [.. entries.Select(static entry => entry.Request!.Run.Run)] },
            new NpgsqlParameter<long[]> { TypedValue = [.. entries.Select(static entry => entry.Request!.Lock.Key.Value)] }).AsTask())
                .ToDictionary(static row => row.Number, static row => row.IsParkedAnew);
        foreach (var entry in entries.Where(entry => missing.GetValueOrDefault(entry.Number))) waker.LocallyParked.Remove(entry);
        return [.. entries.Where(entry => missing.TryGetValue(entry.Number, out var isParkedAnew) && !isParkedAnew)];
    }

    private static WaitingRun ToWaitingRun(QueueEntry entry) =>
        new(entry.Number, entry.Key, entry.Request!.Lock.ToString(), entry.Request.Run, IsParked: true, IsDeliveryClaimed: false, entry.Since);
}
