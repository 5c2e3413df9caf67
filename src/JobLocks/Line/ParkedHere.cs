using System.Collections.Concurrent;

namespace JobLocks.Line;

/// <summary>
/// The positions of the runs that this process has parked, in case their rows are lost: the table leads, and this is a copy that is believed only after the
/// job store was asked. Of a store in the memory of this process, nobody else knows them. Thread-safe.
/// </summary>
internal sealed class ParkedHere
{
    // A few megabytes. Runs beyond that are found in their store, without their order.
    private const int MostOfStoresThatLast = 20_000;

    private readonly ConcurrentDictionary<long, LinePlace> _places = new();

    public void Add(LinePlace place)
    {
        if (_places.Count < MostOfStoresThatLast || UnservedStores.IsVolatile(place.Stance!.Run.Store)) _places[place.Place] = place;
    }

    /// <summary>A store is called something else from now on.</summary>
    public void Rename(string before, string now)
    {
        foreach (var place in Of(before)) _places.TryUpdate(place.Place, place with { Stance = place.Stance! with { Run = place.Stance.Run with { Store = now } } }, place);
    }

    public void Remove(long place) => _places.TryRemove(place, out _);

    /// <summary>Those of a store, in their order.</summary>
    public IReadOnlyList<LinePlace> Of(string store) =>
        [.. _places.Values.Where(place => string.Equals(place.Stance!.Run.Store, store, StringComparison.Ordinal)).OrderBy(static place => place.Place)];
}
