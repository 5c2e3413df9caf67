using System.Diagnostics;
using JobLocks.InMemory.WaitQueue;
using JobLocks.Locks;
using JobLocks.WaitQueue;

namespace JobLocks.InMemory.Locks;

/// <summary>
/// Decides acquire requests. A lock is granted when it is free, and when neither a waiting caller nor a waiting run precedes the request. Not thread-safe:
/// used under the mutex of the <see cref="MemoryDispatcher"/>.
/// </summary>
internal sealed class MemoryGranting(MemoryLockTable locks, MemoryQueueTable queue, MemoryWakeOrder wakeOrder)
{
    private List<MemoryWaiter> _answered = [];

    /// <summary>Acquires all requested locks or none.</summary>
    /// <param name="requests">Each key once.</param>
    /// <param name="holder">The holder to record.</param>
    /// <param name="entry">The queue entry of the run; null where it has none.</param>
    /// <param name="stack">The stack of the caller; null where stacks are not captured.</param>
    /// <returns>The grants in the order of the requests, or the first refused request.</returns>
    public MemoryAnswer TryAcquire(IReadOnlyList<LockRequest> requests, Holder holder, QueueEntry? entry, StackTrace? stack)
    {
        var grants = new List<LockGrant>(requests.Count);
        foreach (var request in requests)
        {
            // A run that requests several locks was woken for only one of them.
            var isWoken = entry is { BypassesQueue: true } && entry.Key == request.Key;
            var free = locks.FindFree(request, passesWaiters: isWoken);
            var isRefusedForQueue = free is not null && !isWoken && queue.HasEntryBefore(request.Key, entry?.Number ?? long.MaxValue);
            if (free is { } key && !isRefusedForQueue)
            {
                grants.Add(locks.Grant(request, key, holder, stack, entry?.Key == request.Key ? entry.Since : null));
                continue;
            }

            foreach (var grant in grants) locks.Remove(grant);
            return new([], request, isRefusedForQueue);
        }

        return new(grants, null, IsRefusedForQueue: false);
    }

    /// <summary>Adds a caller that waits for its lock. It may be granted at once.</summary>
    public void AddWaiter(MemoryWaiter waiter)
    {
        if (locks.Find(waiter.Request.Key) is { Waiters.Count: > 0 } || !TryGrant(waiter)) locks.AddWaiter(waiter);
    }

    /// <summary>A caller has stopped waiting. A lock that it was granted meanwhile is released.</summary>
    public void Abandon(MemoryWaiter waiter)
    {
        if (waiter.Grant is { } grant) locks.Remove(grant);
        else locks.RemoveWaiter(waiter);
        GrantAndWakeNext(waiter.Request.Key);
    }

    /// <summary>Releases a lock.</summary>
    public void Release(LockGrant grant)
    {
        if (!locks.Remove(grant)) return;

        GrantAndWakeNext(grant.Key);
        if (grant.NameKey != grant.Key) GrantAndWakeNext(grant.NameKey);
    }

    /// <summary>Grants a key to the callers that wait for it, as far as it is free, and then wakes the runs that can run.</summary>
    public void GrantAndWakeNext(LockKey key)
    {
        while (locks.Find(key)?.Waiters.First?.Value is { } first && TryGrant(first)) locks.RemoveWaiter(first);

        wakeOrder.WakeNext(key);
    }

    /// <summary>Removes and returns the callers whose lock was granted. They must be completed outside of the mutex.</summary>
    public List<MemoryWaiter> TakeAnswered()
    {
        if (_answered.Count == 0) return [];

        var answered = _answered;
        _answered = [];
        return answered;
    }

    private bool TryGrant(MemoryWaiter waiter)
    {
        var request = waiter.Request;
        if (locks.FindFree(request, passesWaiters: true) is not { } key) return false;

        if (queue.HasEntryBefore(request.Key, waiter.Number ?? long.MaxValue))
        {
            // From now on the caller precedes all runs that enter the queue later.
            waiter.Number ??= queue.DrawNumber();
            return false;
        }

        waiter.Grant = locks.Grant(request, key, waiter.Holder, waiter.Stack, waiter.WaitingSince);
        _answered.Add(waiter);
        return true;
    }
}
