using JobLocks.Primitives;
using JobLocks.WaitQueue;

namespace JobLocks.InMemory.WaitQueue;

/// <summary>Describes queue entries to the gate and to the job stores.</summary>
internal static class MemoryRuns
{
    /// <summary>The entry as its run sees it.</summary>
    public static QueueEntry AsEntry(MemoryQueueEntry entry, DateTimeOffset now, TimeSpan wakeTimeout) =>
        new(entry.Number, entry.Key, entry.IsWoken && !entry.IsOverdue(now), entry.IsOverdue(now), entry.SkipReason, entry.Since)
        {
            WokenAt = entry.State == MemoryQueueEntry.Wake.Woken && entry.WokenAt > now - wakeTimeout && !entry.IsOverdue(now) ? BootClock.Now - (now - entry.WokenAt) : null,
        };

    /// <summary>The entry as its job store sees it.</summary>
    public static WaitingRun AsWaiting(MemoryQueueEntry entry, DateTimeOffset now) =>
        new(entry.Number, entry.Key, entry.Request.ToString(), new(entry.Store, entry.Run, entry.Queue), entry.IsParked, IsDeliveryClaimed: entry.IsDelivered, entry.Since)
        {
            Waited = now - entry.Since,
        };
}
