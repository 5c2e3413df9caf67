using JobLocks.Locks;

namespace JobLocks.Postgres.Locks;

/// <summary>
/// The entries of the local lock table, by key, and the counts that belong to them. This is the one record of what the session of this process holds
/// and requests; the read model in PostgreSQL is a copy of it. Not thread-safe: used under the mutex of the <see cref="LockDispatcher"/>.
/// </summary>
internal sealed class LockEntries
{
    private readonly Dictionary<LockKey, LockEntry> _entries = [];

    /// <summary>All entries. They must not be added or removed while they are enumerated.</summary>
    public IReadOnlyCollection<LockEntry> All => _entries.Values;

    /// <summary>The number of locks that the session holds or has requested. It is also read without the mutex, to show it.</summary>
    public int Count { get; private set; }

    /// <summary>The number of keys for which a request of this process waits.</summary>
    public int WaitedKeys { get; private set; }

    /// <summary>The number of slot requests that wait until another slot request of their name is answered.</summary>
    public int SlotWaiters { get; private set; }

    /// <summary>The entry of a key; a new one if there is none.</summary>
    public LockEntry Of(LockKey key)
    {
        if (!_entries.TryGetValue(key, out var entry)) _entries[key] = entry = new(key);
        return entry;
    }

    /// <summary>The entry of a key; null if there is none.</summary>
    public LockEntry? Find(LockKey key) => _entries.GetValueOrDefault(key);

    /// <summary>Removes an entry that is not used any more.</summary>
    public void Tidy(LockEntry entry)
    {
        if (entry.IsUnused) _entries.Remove(entry.Key);
    }

    /// <summary>A lock is requested from the server.</summary>
    public void Reserve(LockEntry entry, LockMode mode)
    {
        entry.State = LockEntryState.Requested;
        entry.Mode = mode;
        Count++;
    }

    /// <summary>One of several slots is requested from the server, which grants at most one of them.</summary>
    public void ReserveOneOf(IReadOnlyCollection<LockEntry> slots)
    {
        foreach (var slot in slots) Reserve(slot, LockMode.Exclusive);
        Count -= slots.Count - 1;
    }

    /// <summary>A requested lock was refused, or its request was not sent.</summary>
    public void Unreserve(LockEntry entry)
    {
        if (entry.State != LockEntryState.Requested) return;

        entry.State = LockEntryState.Free;
        Count--;
    }

    /// <summary>Undoes <see cref="ReserveOneOf"/>.</summary>
    public void UnreserveOneOf(IReadOnlyCollection<LockEntry> slots)
    {
        Count += slots.Count - 1;
        foreach (var slot in slots) Unreserve(slot);
    }

    /// <summary>The server granted a lock, or a reader joins the one that the session holds.</summary>
    public void Hold(LockEntry entry)
    {
        if (entry.State != LockEntryState.Held) Count++;
        entry.State = LockEntryState.Held;
    }

    /// <summary>A held lock is released.</summary>
    public void Free(LockEntry entry)
    {
        entry.State = LockEntryState.Free;
        Count--;
    }

    /// <summary>The session is lost, with all locks that it held.</summary>
    /// <returns>The lost grants.</returns>
    public List<LockGrant> LoseAll()
    {
        var lost = new List<LockGrant>();
        foreach (var entry in _entries.Values)
        {
            entry.WaiterSignal = entry.WriterSignal = LockEntry.Signal.None;
            if (entry.State != LockEntryState.Held) continue;

            // The entry stays occupied until its runs have disposed their handles: a new session must not be granted the lock while such a run works.
            entry.State = entry.Grants.Count == 0 ? LockEntryState.Free : LockEntryState.Lost;
            lost.AddRange(entry.Grants);
        }

        Count = 0;
        return lost;
    }

    /// <summary>
    /// Inserts a waiter in the order of arrival. A request that asked the server at once can be older than the waiters in the list.
    /// </summary>
    public void AddWaiter(LockEntry entry, AcquireRequest request)
    {
        if (request.Node is not null) return;

        if (entry.Waiters.Count == 0) WaitedKeys++;
        // The search starts at the end: nearly every request belongs there, and the list can have thousands of waiters.
        var previous = entry.Waiters.Last;
        while (previous is not null && previous.Value.Arrival > request.Arrival) previous = previous.Previous;
        request.Node = previous is null ? entry.Waiters.AddFirst(request) : entry.Waiters.AddAfter(previous, request);
    }

    /// <summary>Removes a waiter.</summary>
    /// <returns>Whether the request was a waiter.</returns>
    public bool RemoveWaiter(LockEntry entry, AcquireRequest request)
    {
        if (request.Node is not { } node) return false;

        entry.Waiters.Remove(node);
        request.Node = null;
        if (entry.Waiters.Count == 0) WaitedKeys--;
        return true;
    }

    /// <summary>A slot request waits until another one of its name is answered.</summary>
    public void AddSlotWaiter(LockEntry nameEntry, AcquireRequest request, int index)
    {
        nameEntry.SlotWaiters.Enqueue((request, index));
        SlotWaiters++;
    }

    /// <summary>Removes the first slot request that waits.</summary>
    public bool TryTakeSlotWaiter(LockEntry nameEntry, out (AcquireRequest Request, int Index) next)
    {
        if (!nameEntry.SlotWaiters.TryDequeue(out next)) return false;

        SlotWaiters--;
        return true;
    }

    /// <summary>Removes all slot requests that wait.</summary>
    /// <returns>Their acquire requests.</returns>
    public List<AcquireRequest> TakeSlotWaiters()
    {
        var requests = _entries.Values.SelectMany(static entry => entry.SlotWaiters).Select(static waiting => waiting.Request).ToList();
        foreach (var entry in _entries.Values) entry.SlotWaiters.Clear();
        SlotWaiters = 0;
        return requests;
    }
}
