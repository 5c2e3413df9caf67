using JobLocks.Diagnostics;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Restores entries of the wait queue that are lost while their runs still wait in a job store: an operator has emptied or dropped the table. Each process does
/// so for the runs that it has parked, of which it knows the positions. Used by the thread of the <see cref="WakeDispatcher"/> alone.
/// </summary>
internal sealed class RestoredEntries(WaitQueueStatements statements, WakeDispatcher watch, ILogger log)
{
    private const int MostChecked = 5_000;
    private const int MostAsked = 100;
    private const int Sample = 10;

    private static readonly TimeSpan BetweenLooks = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan LongestLook = TimeSpan.FromSeconds(0.5);

    private readonly Dictionary<string, (long After, TimeSpan NextAt)> _looks = new(StringComparer.Ordinal);

    /// <summary>Checks the next of the runs of a store, and restores what is missing. What there is no time for is restored at the next sweep.</summary>
    public void Restore(IRunStore store)
    {
        var id = store.Id!;
        var look = _looks.GetValueOrDefault(id);
        if (BootClock.Now < look.NextAt) return;

        var parked = watch.Parked.Of(id);
        var next = parked.Where(place => place.Place > look.After).Take(MostChecked).ToList();
        if (next.Count == 0) next = [.. parked.Take(MostChecked)];
        var missing = next.Count == 0 ? [] : Missing(id, next);
        var since = BootClock.Now;
        if (!AreOver(store, missing))
        {
            foreach (var some in missing.Chunk(MostAsked))
            {
                if (BootClock.Now - since > LongestLook) return;

                Restore(store, some);
            }
        }

        _looks[id] = (next.Count < MostChecked ? 0 : next[^1].Place, BootClock.Now + BetweenLooks);
    }

    /// <summary>
    /// Whether many runs have no entry because other processes have performed them, which is normal in a fleet. The job store is asked about ten of them:
    /// if none of the ten waits, all of them are forgotten.
    /// </summary>
    private bool AreOver(IRunStore store, List<QueueEntry> missing)
    {
        if (missing.Count <= Sample) return false;

        List<QueueEntry> sample = [.. Enumerable.Range(0, Sample).Select(nth => missing[(nth + 1) * missing.Count / Sample - 1])];
        if (Ask(store, sample).Gone.Count < sample.Count) return false;

        foreach (var place in missing) watch.Parked.Remove(place);
        return true;
    }

    private void Restore(IRunStore store, QueueEntry[] missing)
    {
        var (waiting, _) = Ask(store, missing);
        if (waiting.Count == 0) return;

        var restored = Blocking.Wait(statements.ReadAsync(
            EntrySql.Restore, static row => row.GetInt64(0), blocks: true, CancellationToken.None, EntryParameters.ToRestore(waiting)).AsTask()).ToHashSet();
        if (restored.Count > 0) log.Restored(restored.Count, DisplayText.Name(store.Id!));
        // Another process may have started one of them since its store was asked.
        List<QueueEntry> again = [.. waiting.Where(place => restored.Contains(place.Place))];
        var (_, gone) = Ask(store, again);
        if (gone.Count > 0) watch.Run(EntrySql.Leave, new NpgsqlParameter<long[]> { TypedValue = [.. gone.Select(static place => place.Place)] });
    }

    /// <summary>Which runs their store keeps for a lock, and which it does not: those are forgotten. Of some it may not know.</summary>
    private (List<QueueEntry> Waiting, List<QueueEntry> Gone) Ask(IRunStore store, IReadOnlyList<QueueEntry> places)
    {
        var (waiting, gone) = (new List<QueueEntry>(), new List<QueueEntry>());
        if (places.Count == 0) return (waiting, gone);

        var asked = places.ToDictionary(static place => place.Place);
        foreach (var (run, fate) in watch.FatesOf([.. places.Select(static place => RunAt(place))], store.LookAsync)) (fate == RunFate.Waits ? waiting : gone).Add(asked[run.Place]);
        foreach (var place in gone) watch.Parked.Remove(place);
        return (waiting, gone);
    }

    /// <summary>Those without an entry. A run that has another entry was parked anew, perhaps by another process, and the old one is forgotten.</summary>
    private List<QueueEntry> Missing(string store, IReadOnlyList<QueueEntry> places)
    {
        var missing = Blocking.Wait(statements.ReadAsync(
            EntrySql.WithoutEntry,
            static row => (Place: row.GetInt64(0), IsParkedAnew: row.GetBoolean(1)),
            blocks: true,
            CancellationToken.None,
            new NpgsqlParameter<string> { TypedValue = store },
            new NpgsqlParameter<long[]> { TypedValue = [.. places.Select(static place => place.Place)] },
            new NpgsqlParameter<string[]> { TypedValue = [.. places.Select(static place => place.Request!.Run.Run)] },
            new NpgsqlParameter<long[]> { TypedValue = [.. places.Select(static place => place.Request!.Lock.Key.Value)] }).AsTask()).ToDictionary(static of => of.Place, static of => of.IsParkedAnew);
        foreach (var place in places.Where(place => missing.GetValueOrDefault(place.Place))) watch.Parked.Remove(place);
        return [.. places.Where(place => missing.TryGetValue(place.Place, out var isParkedAnew) && !isParkedAnew)];
    }

    private static WaitingRun RunAt(QueueEntry place) => new(place.Place, place.Key, place.Request!.Lock.ToString(), place.Request.Run, IsParked: true, IsOurs: true, place.Since);
}
