using JobLocks.WaitQueue;

namespace JobLocks.InMemory.WaitQueue;

/// <summary>
/// The job stores whose runs this process wakes, and the stores that count as served: the runs of the others are bypassed. Not thread-safe: used
/// under the mutex of the <see cref="MemoryDispatcher"/>.
/// </summary>
internal sealed class MemoryRunStores
{
    // Each store with its id at the last sweep.
    private readonly Dictionary<IRunStore, string?> _stores = [];
    private readonly HashSet<string> _served = new(StringComparer.Ordinal);
    private readonly HashSet<string> _closed = new(StringComparer.Ordinal);

    /// <summary>All stores whose runs this process wakes.</summary>
    public IReadOnlyList<IRunStore> All => [.. _stores.Keys];

    public bool Contains(IRunStore store) => _stores.ContainsKey(store);

    public void Add(IRunStore store) => _stores.TryAdd(store, null);

    /// <summary>Removes a store.</summary>
    /// <returns>The ids under which its runs may wait.</returns>
    public IReadOnlyList<string> Remove(IRunStore store)
    {
        if (!_stores.Remove(store, out var sweptId)) return [];

        string[] ids = [.. new[] { sweptId, store.Id }.OfType<string>().Distinct(StringComparer.Ordinal)];
        foreach (var id in ids.Where(id => Find(id) is null))
        {
            _closed.Add(id);
            _served.Remove(id);
        }

        return ids;
    }

    /// <summary>The store with an id; null where this process does not wake its runs.</summary>
    public IRunStore? Find(string id) => _stores.Keys.FirstOrDefault(store => string.Equals(store.Id, id, StringComparison.Ordinal));

    /// <summary>All stores with an id: several schedulers may work on one store.</summary>
    public IReadOnlyList<IRunStore> FindAll(string id) => [.. _stores.Keys.Where(store => string.Equals(store.Id, id, StringComparison.Ordinal))];

    /// <summary>Whether a store was closed in this process. One of its runs may still be about to enter the wait queue.</summary>
    public bool IsClosed(string id) => _closed.Contains(id) && Find(id) is null;

    public bool IsServed(string id) => _served.Contains(id);

    /// <summary>A run of the store enters the wait queue, or a scheduler of this process can start its runs.</summary>
    public void Announce(string id)
    {
        if (!IsClosed(id)) _served.Add(id);
    }

    /// <summary>No scheduler of this process can start runs of the store.</summary>
    public void Withdraw(string id) => _served.Remove(id);

    /// <summary>Records the current id of a store.</summary>
    /// <returns>The former id; null where it has not changed.</returns>
    public string? Rename(IRunStore store, string id)
    {
        if (!_stores.TryGetValue(store, out var formerId)) return null;

        _stores[store] = id;
        return formerId is null || string.Equals(formerId, id, StringComparison.Ordinal) ? null : formerId;
    }
}
