using System.Collections.Concurrent;

namespace JobLocks.Line;

/// <summary>
/// The runs that were parked here in a store that lives in the memory of this process. Where the process could not be reached for long, others
/// have taken it for dead and its places away, and nobody else knows what stood there. Thread-safe.
/// </summary>
internal sealed class ParkedHere
{
    private readonly ConcurrentDictionary<long, LinePlace> _places = new();

    public void Add(LinePlace place)
    {
        if (UnservedStores.IsVolatile(place.Stance!.Run.Store)) _places[place.Place] = place;
    }

    /// <summary>Forgets those of a store that is closed here.</summary>
    public void Forget(string store)
    {
        foreach (var place in Of(store)) Remove(place.Place);
    }

    public void Remove(long place) => _places.TryRemove(place, out _);

    /// <summary>Those of a store, in their order.</summary>
    public IReadOnlyList<LinePlace> Of(string store) =>
        [.. _places.Values.Where(place => string.Equals(place.Stance!.Run.Store, store, StringComparison.Ordinal)).OrderBy(static place => place.Place)];
}
