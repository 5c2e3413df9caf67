namespace JobLocks.Line;

/// <summary>The job stores that this process works on. A store is found by what it calls itself now. Thread-safe.</summary>
internal sealed class ServedStores
{
    private readonly Lock _sync = new();

    // The name by which a store was last swept; null before that.
    private readonly Dictionary<IRunStore, string?> _stores = [];

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

    /// <summary>The queues for which this process has a free worker, and of which store each is. A queue null stands for all of the store.</summary>
    public (string[] Stores, string?[] Queues) Free
    {
        get
        {
            var free = All.Where(static store => store.Id is not null).SelectMany(static store => store.FreeQueues.Select(queue => (Store: store.Id!, Queue: queue))).ToList();
            return ([.. free.Select(static of => of.Store)], [.. free.Select(static of => of.Queue)]);
        }
    }

    public void Add(IRunStore store)
    {
        lock (_sync) _stores.TryAdd(store, null);
    }

    /// <summary>False where it is not there.</summary>
    public bool Remove(IRunStore store)
    {
        lock (_sync) return _stores.Remove(store);
    }

    /// <summary>The store of this name; null where this process does not work on it.</summary>
    public IRunStore? Find(string name)
    {
        lock (_sync) return _stores.Keys.FirstOrDefault(store => string.Equals(store.Id, name, StringComparison.Ordinal));
    }

    /// <summary>The store is called so now.</summary>
    /// <returns>What it was called before, where that was something else.</returns>
    public string? Rename(IRunStore store, string name)
    {
        lock (_sync)
        {
            if (!_stores.TryGetValue(store, out var before)) return null;

            _stores[store] = name;
            return before is not null && !string.Equals(before, name, StringComparison.Ordinal) ? before : null;
        }
    }
}
