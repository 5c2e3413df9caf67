using JobLocks.Locks;
using JobLocks.WaitQueue;

namespace JobLocks.InMemory.WaitQueue;

/// <summary>The entry of a run in the wait queue. Its members change only under the mutex of the <see cref="MemoryDispatcher"/>.</summary>
internal sealed class MemoryQueueEntry(long number, RunAddress run, LockRequest request, DateTimeOffset since)
{
    /// <summary>The result of the last wake of the run.</summary>
    internal enum Wake
    {
        /// <summary>The run was not woken.</summary>
        None,

        /// <summary>The run was woken at <see cref="WokenAt"/>.</summary>
        Woken,

        /// <summary>The run was woken and did not start, because it was paused by hand. Other runs bypass it.</summary>
        Paused,

        /// <summary>The run was woken and did not start in time. Another run of its scheduler queue has started since, so only this run is bypassed.</summary>
        PassedOver,
    }

    /// <summary>The entry number. It grows with each arrival, and a run keeps it as long as it waits.</summary>
    public long Number => number;

    /// <summary>The id of the job store. It changes when the store is renamed.</summary>
    public string Store { get; set; } = run.Store;

    public string Run => run.Run;

    public string Queue => run.Queue;

    public string? Job => run.Job;

    /// <summary>The lock for which the run waits.</summary>
    public LockRequest Request { get; set; } = request;

    public LockKey Key => Request.Key;

    /// <summary>When the run began to wait.</summary>
    public DateTimeOffset Since { get; private set; } = since;

    /// <summary>When the longest wait of the run ends; null for no limit.</summary>
    public DateTimeOffset? Until { get; private set; }

    /// <summary>Why the run must not start; null where it may.</summary>
    public string? SkipReason { get; set; }

    public Wake State { get; private set; }

    public DateTimeOffset WokenAt { get; private set; }

    /// <summary>Whether the job store has parked the run.</summary>
    public bool IsParked { get; set; }

    /// <summary>Whether the wake was passed to the job store.</summary>
    public bool IsDelivered { get; set; }

    /// <summary>Since when the store says that the run has started; null where it does not say so.</summary>
    public DateTimeOffset? StartedSince { get; set; }

    public bool IsWoken => State != Wake.None;

    public bool IsOverdue(DateTimeOffset now) => Until <= now;

    /// <summary>The run was woken and has not started in time.</summary>
    public bool IsLate(DateTimeOffset now, TimeSpan wakeTimeout) => State == Wake.Woken && SkipReason is null && WokenAt < now - wakeTimeout;

    /// <summary>The run waits from now on, for a lock that may be another one than before.</summary>
    /// <param name="atMost">The longest wait; null for no limit.</param>
    /// <param name="isNewRun">
    /// Whether the store has no waiting run of this name: a parked entry then belongs to an earlier run, whose times do not count.
    /// </param>
    /// <param name="now">The time.</param>
    public void Restart(TimeSpan? atMost, bool isNewRun, DateTimeOffset now)
    {
        var isOfEarlierRun = isNewRun && IsParked;
        if (isOfEarlierRun) (Since, SkipReason) = (now, null);
        Until = atMost is { } longest ? (isOfEarlierRun ? null : Until) ?? now + longest : null;
        (State, IsParked, IsDelivered) = (Wake.None, false, false);
    }

    /// <summary>Restores the longest wait of an entry that was removed while its run was being parked.</summary>
    public void RestoreLimit(TimeSpan? atMost) => Until = Since + atMost;

    public void MarkWoken(DateTimeOffset now) => (State, WokenAt) = (Wake.Woken, now);

    public void MarkPaused() => State = Wake.Paused;

    public void MarkPassedOver() => State = Wake.PassedOver;
}
