using System.Diagnostics.CodeAnalysis;
using JobLocks.WaitQueue;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// The job stores known to this process. A store is served only while its scheduler takes runs (<see cref="IRunStore.CanStartRunsAsync"/>). A store is found by
/// its current id. Thread-safe.
/// </summary>
internal sealed class KnownStores
{
    private readonly Lock _sync = new();

    // The ids under which each store was swept. The current id is the last one.
    private readonly Dictionary<IRunStore, List<string>> _stores = [];
    private readonly HashSet<string> _removed = new(StringComparer.Ordinal);

    /// <summary>Whether this process knows any store.</summary>
    public bool Any
    {
        get
        {
            lock (_sync) return _stores.Count > 0;
        }
    }

    /// <summary>All stores.</summary>
    public IReadOnlyList<IRunStore> All
    {
        get
        {
            lock (_sync) return [.. _stores.Keys];
        }
    }

    /// <summary>The workers of this process that are free now.</summary>
    public FreeWorkers Free => new(All);

    /// <summary>The workers of this process that are free now, as far as more runs may wait in them.</summary>
    /// <param name="share">The largest share of the workers of a scheduler in which runs may wait.</param>
    public FreeWorkers RoomToWait(double share) => new(All, store =>
    {
        var room = store.RoomToWait(share);
        return room <= 0 ? [] : store.FreeWorkers.Select(pool => pool with { Free = Math.Min(pool.Free, room) });
    });

    public void Add(IRunStore store)
    {
        lock (_sync) _stores.TryAdd(store, []);
    }

    /// <summary>Removes a store.</summary>
    /// <param name="store">The store to remove.</param>
    /// <param name="ids">The ids under which it was swept.</param>
    /// <returns>False where the store is not known.</returns>
    public bool Remove(IRunStore store, [NotNullWhen(true)] out IReadOnlyList<string>? ids)
    {
        lock (_sync)
        {
            var wasKnown = _stores.Remove(store, out var sweptIds);
            ids = sweptIds;
            if (sweptIds is not null) _removed.UnionWith(sweptIds);
            if (wasKnown && store.Id is { } id) _removed.Add(id);
            return wasKnown;
        }
    }

    /// <summary>Whether a store of this id was removed, and no store has the id now.</summary>
    public bool WasRemoved(string id)
    {
        lock (_sync) return _removed.Contains(id) && FindUnsynchronized(id) is null;
    }

    /// <summary>The store of this id; null where this process does not know it.</summary>
    public IRunStore? Find(string id)
    {
        lock (_sync) return FindUnsynchronized(id);
    }

    /// <summary>Records the current id of a store.</summary>
    /// <param name="store">The store.</param>
    /// <param name="id">Its current id.</param>
    /// <param name="isNew">Whether its last id was another one.</param>
    /// <returns>All earlier ids.</returns>
    public IReadOnlyList<string> Rename(IRunStore store, string id, out bool isNew)
    {
        lock (_sync)
        {
            isNew = false;
            if (!_stores.TryGetValue(store, out var ids)) return [];

            isNew = ids.Count > 0 && !string.Equals(ids[^1], id, StringComparison.Ordinal);
            ids.Remove(id);
            ids.Add(id);
            return ids[..^1];
        }
    }

    private IRunStore? FindUnsynchronized(string id) => _stores.Keys.FirstOrDefault(store => string.Equals(store.Id, id, StringComparison.Ordinal));
}
