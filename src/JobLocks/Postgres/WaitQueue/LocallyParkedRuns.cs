using System.Collections.Concurrent;
using JobLocks.WaitQueue;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// The runs that this process has parked, in case their entries in the wait queue are lost. The table leads: this copy is used only where the table has no entry and
/// the job store says that the run waits. Thread-safe.
/// </summary>
internal sealed class LocallyParkedRuns
{
    // A few megabytes. The position of a run beyond that is lost with its entry.
    private const int MostOfStoresThatLast = 20_000;

    private readonly ConcurrentDictionary<long, QueueEntry> _places = new();

    public void Add(QueueEntry place)
    {
        // A store in the memory of this process has no limit: no other process knows its runs.
        if (VolatileStore.Is(place.Request!.Run.Store) || _places.ContainsKey(place.Place) || _places.Count < MostOfStoresThatLast) _places[place.Place] = place;
    }

    /// <summary>A store has another name from now on.</summary>
    public void Rename(string before, string now)
    {
        foreach (var place in Of(before))
            _places.TryUpdate(place.Place, place with { Request = place.Request! with { Run = place.Request.Run with { Store = now } } }, place);
    }

    /// <summary>Forgets those of a store that is closed here.</summary>
    public void Forget(string store)
    {
        foreach (var place in Of(store)) Remove(place.Place);
    }

    public void Remove(long place) => _places.TryRemove(place, out _);

    /// <summary>Forgets it unless the run has been parked again since it was read.</summary>
    public void Remove(QueueEntry read) => _places.TryRemove(new(read.Place, read));

    /// <summary>Those of a store, in their order.</summary>
    public IReadOnlyList<QueueEntry> Of(string store) =>
        [.. _places.Values.Where(place => string.Equals(place.Request!.Run.Store, store, StringComparison.Ordinal)).OrderBy(static place => place.Place)];
}
