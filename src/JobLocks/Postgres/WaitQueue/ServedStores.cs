using System.Diagnostics.CodeAnalysis;
using JobLocks.WaitQueue;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>The job stores that this process serves. A store is found by its current name. Thread-safe.</summary>
internal sealed class ServedStores
{
    private readonly Lock _sync = new();

    // The names under which each store was swept. The current name is the last one.
    private readonly Dictionary<IRunStore, List<string>> _stores = [];
    private readonly HashSet<string> _removed = new(StringComparer.Ordinal);

    /// <summary>Whether this process serves any store.</summary>
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

    public void Add(IRunStore store)
    {
        lock (_sync) _stores.TryAdd(store, []);
    }

    /// <summary>Removes a store.</summary>
    /// <param name="store">The store to remove.</param>
    /// <param name="names">The names under which it was swept.</param>
    /// <returns>False where the store is not served.</returns>
    public bool Remove(IRunStore store, [NotNullWhen(true)] out IReadOnlyList<string>? names)
    {
        lock (_sync)
        {
            var wasServed = _stores.Remove(store, out var sweptNames);
            names = sweptNames;
            if (sweptNames is not null) _removed.UnionWith(sweptNames);
            if (wasServed && store.Id is { } id) _removed.Add(id);
            return wasServed;
        }
    }

    /// <summary>Whether a store of this name was removed, and no store has the name now.</summary>
    public bool WasRemoved(string name)
    {
        lock (_sync) return _removed.Contains(name) && FindUnsynchronized(name) is null;
    }

    /// <summary>The store of this name; null where this process does not serve it.</summary>
    public IRunStore? Find(string name)
    {
        lock (_sync) return FindUnsynchronized(name);
    }

    /// <summary>Records the current name of a store.</summary>
    /// <param name="store">The store.</param>
    /// <param name="name">Its current name.</param>
    /// <param name="isNew">Whether its last name was another one.</param>
    /// <returns>All earlier names.</returns>
    public IReadOnlyList<string> Rename(IRunStore store, string name, out bool isNew)
    {
        lock (_sync)
        {
            isNew = false;
            if (!_stores.TryGetValue(store, out var names)) return [];

            isNew = names.Count > 0 && !string.Equals(names[^1], name, StringComparison.Ordinal);
            names.Remove(name);
            names.Add(name);
            return names[..^1];
        }
    }

    private IRunStore? FindUnsynchronized(string name) => _stores.Keys.FirstOrDefault(store => string.Equals(store.Id, name, StringComparison.Ordinal));
}
