using System.Diagnostics.CodeAnalysis;
using JobLocks.WaitQueue;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>The job stores that this process works on. A store is found by what it calls itself now. Thread-safe.</summary>
internal sealed class ServedStores
{
    private readonly Lock _sync = new();

    // The names by which a store was swept, the last one at the end.
    private readonly Dictionary<IRunStore, List<string>> _stores = [];
    private readonly HashSet<string> _removed = new(StringComparer.Ordinal);

    /// <summary>Whether there is any.</summary>
    public bool Any
    {
        get
        {
            lock (_sync) return _stores.Count > 0;
        }
    }

    /// <summary>All of them.</summary>
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
    /// <param name="names">The names by which it was swept.</param>
    /// <returns>False where it is not there.</returns>
    public bool Remove(IRunStore store, [NotNullWhen(true)] out IReadOnlyList<string>? names)
    {
        lock (_sync)
        {
            var isThere = _stores.Remove(store, out var swept);
            names = swept;
            if (swept is not null) _removed.UnionWith(swept);
            if (isThere && store.Id is { } id) _removed.Add(id);
            return isThere;
        }
    }

    /// <summary>Whether a store of this name was removed, and none has it now.</summary>
    public bool WasRemoved(string name)
    {
        lock (_sync) return _removed.Contains(name) && FindAmongAll(name) is null;
    }

    /// <summary>The store of this name; null where this process does not work on it.</summary>
    public IRunStore? Find(string name)
    {
        lock (_sync) return FindAmongAll(name);
    }

    /// <summary>The store is called so now.</summary>
    /// <param name="store">Which.</param>
    /// <param name="name">Its name.</param>
    /// <param name="isNew">Whether it was called something else before.</param>
    /// <returns>All other names that it had.</returns>
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

    private IRunStore? FindAmongAll(string name) => _stores.Keys.FirstOrDefault(store => string.Equals(store.Id, name, StringComparison.Ordinal));
}
