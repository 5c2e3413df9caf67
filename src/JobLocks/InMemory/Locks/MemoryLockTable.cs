using System.Diagnostics;
using JobLocks.Locks;

namespace JobLocks.InMemory.Locks;

/// <summary>
/// The held keys and the callers that wait for keys. Does not use the wait queue. Not thread-safe: used under the mutex of the
/// <see cref="MemoryDispatcher"/>.
/// </summary>
internal sealed class MemoryLockTable(ILockOwner owner, TimeProvider clock)
{
    private readonly Dictionary<LockKey, MemoryLockEntry> _entries = [];
    private long _lastToken;

    /// <summary>The keys that are held and not lost.</summary>
    public IEnumerable<MemoryLockEntry> Held => _entries.Values.Where(static entry => entry.IsHeld);

    /// <summary>The entry of a key; null where the key is neither held nor waited for.</summary>
    public MemoryLockEntry? Find(LockKey key) => _entries.GetValueOrDefault(key);

    /// <summary>The key that can be granted for a request: its own, or with a limit the first free slot. Null where none is free.</summary>
    /// <param name="request">The request.</param>
    /// <param name="passesWaiters">Whether the request precedes callers that wait for the key.</param>
    public LockKey? FindFree(LockRequest request, bool passesWaiters)
    {
        if (request.Limit > 1) return request.Slots.Select(static slot => (LockKey?)slot).FirstOrDefault(slot => Find(slot!.Value) is null);

        return Find(request.Key) is { } entry && (!entry.IsFreeFor(request.Mode) || (entry.Waiters.Count > 0 && !passesWaiters)) ? null : request.Key;
    }

    /// <summary>How many waiting runs with such a request can run now.</summary>
    public int CountFree(LockRequest request)
    {
        if (request.Limit > 1) return request.Slots.Count(slot => Find(slot) is not { Grants.Count: > 0 });
        if (Find(request.Key) is not { } entry) return request.Mode == LockMode.Shared ? int.MaxValue : 1;
        if (request.Mode == LockMode.Exclusive) return entry.IsFreeFor(LockMode.Exclusive) ? 1 : 0;

        // No reader joins the readers while a writer waits for the end of all of them.
        return entry.Grants.Count == 0 || (entry.IsFreeFor(LockMode.Shared) && entry.Waiters.Count == 0) ? int.MaxValue : 0;
    }

    /// <summary>Grants a key that is free for the request.</summary>
    public LockGrant Grant(LockRequest request, LockKey key, Holder holder, StackTrace? stack, DateTimeOffset? waitingSince)
    {
        var entry = EntryOf(key);
        if (entry.Grants.Count == 0) (entry.Mode, entry.Token) = (request.Mode, ++_lastToken);

        var grant = new LockGrant(request, key, holder, clock.GetUtcNow(), owner, entry.Token) { Stack = stack, WaitingSince = waitingSince };
        entry.Grants.Add(grant);
        return grant;
    }

    /// <summary>Removes a grant.</summary>
    /// <returns>False where the table does not have it any more.</returns>
    public bool Remove(LockGrant grant)
    {
        if (Find(grant.Key) is not { } entry || !entry.Grants.Remove(grant)) return false;

        if (entry.Grants.Count == 0) entry.IsLost = false;
        Tidy(entry);
        return true;
    }

    public void AddWaiter(MemoryWaiter waiter)
    {
        waiter.WaitingSince = clock.GetUtcNow();
        EntryOf(waiter.Request.Key).Waiters.AddLast(waiter);
    }

    /// <summary>Removes a caller that waits.</summary>
    /// <returns>False where it does not wait.</returns>
    public bool RemoveWaiter(MemoryWaiter waiter)
    {
        if (Find(waiter.Request.Key) is not { } entry || !entry.Waiters.Remove(waiter)) return false;

        Tidy(entry);
        return true;
    }

    /// <summary>The holder of a lock or of one of its slots; null where there is none.</summary>
    public Holder? FindHolder(LockRequest request) =>
        request.Slots.Select(Find).FirstOrDefault(static entry => entry is { Grants.Count: > 0 })?.Grants[0].Holder;

    /// <summary>Marks the lock of a key as lost.</summary>
    /// <returns>The lost grants; none where the key is not held.</returns>
    public IReadOnlyList<LockGrant> MarkLost(LockKey key)
    {
        if (Find(key) is not { IsHeld: true } entry) return [];

        entry.IsLost = true;
        return [.. entry.Grants];
    }

    /// <summary>Removes all callers that wait.</summary>
    public IReadOnlyList<MemoryWaiter> TakeWaiters()
    {
        var waiters = _entries.Values.SelectMany(static entry => entry.Waiters).ToList();
        foreach (var waiter in waiters) RemoveWaiter(waiter);
        return waiters;
    }

    private MemoryLockEntry EntryOf(LockKey key)
    {
        if (!_entries.TryGetValue(key, out var entry)) _entries[key] = entry = new(key);
        return entry;
    }

    private void Tidy(MemoryLockEntry entry)
    {
        if (entry.IsUnused) _entries.Remove(entry.Key);
    }
}
