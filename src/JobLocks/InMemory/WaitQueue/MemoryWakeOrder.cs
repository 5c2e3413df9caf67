using JobLocks.InMemory.Locks;
using JobLocks.Locks;

namespace JobLocks.InMemory.WaitQueue;

/// <summary>Chooses the waiting runs of a key that can run now. Not thread-safe: used under the mutex of the <see cref="MemoryDispatcher"/>.</summary>
internal sealed class MemoryWakeOrder(MemoryQueueTable queue, MemoryLockTable locks)
{
    /// <summary>
    /// Wakes the next runs of a key: the first one of an exclusive lock, the readers before the first writer of a shared lock, and as many as slots
    /// are free of a limited lock. A run that was woken before counts as one of them. A wake grants nothing.
    /// </summary>
    public void WakeNext(LockKey key)
    {
        var first = queue.Of(key).Where(queue.Precedes).ToList();
        if (first is [var head, ..])
        {
            foreach (var entry in Next(first, head.Request)) queue.Wake(entry);
        }

        // The runs of a scheduler queue with a late run are bypassed. The first of them is woken in addition, since the queue may have a worker by now.
        if (queue.Of(key).FirstOrDefault(queue.CanStart) is { IsWoken: false } bypassed && queue.IsQueueLate(bypassed) && locks.CountFree(bypassed.Request) > 0)
            queue.Wake(bypassed);
    }

    private List<MemoryQueueEntry> Next(List<MemoryQueueEntry> first, LockRequest head)
    {
        var free = locks.CountFree(head);
        if (free == 0) return [];
        if (head.Mode == LockMode.Shared) return [.. first.TakeWhile(static entry => entry.Request.Mode == LockMode.Shared).Where(static entry => !entry.IsWoken)];
        if (head.Limit == 1) return first[0].IsWoken ? [] : [first[0]];

        var wokenBefore = first.Count(static entry => entry.IsWoken);
        return [.. first.TakeWhile(static entry => entry.Request.Limit > 1).Where(static entry => !entry.IsWoken).Take(free - wokenBefore)];
    }
}
