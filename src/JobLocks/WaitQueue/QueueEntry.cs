using JobLocks.Primitives;

namespace JobLocks.WaitQueue;

/// <summary>The entry of a run in the wait queue, as the run sees it.</summary>
/// <param name="Number">The number of the entry. It grows with each arrival, and is not the position.</param>
/// <param name="Key">The key of the lock for which the run waits.</param>
/// <param name="BypassesQueue">Whether the run may bypass the entries before it: it was woken, and is not overdue.</param>
/// <param name="IsOverdue">Whether the run has reached the longest wait of its rule.</param>
/// <param name="Since">When the run entered the queue, by the clock of the server.</param>
/// <param name="SkipReason">Why the run must not start; null where it may.</param>
internal sealed record QueueEntry(long Number, LockKey Key, bool BypassesQueue, bool IsOverdue, string? SkipReason, DateTimeOffset Since)
{
    /// <summary>When the run was woken, on the <see cref="BootClock"/> of this process; null where it was not woken, or so long ago that other runs may have held its lock since.</summary>
    public TimeSpan? WokenAt { get; init; }

    /// <summary>Whether the run was called, see <see cref="IWaitQueue.CallNext"/>, and not woken since.</summary>
    public bool WasCalled { get; init; }

    /// <summary>The request that made the entry; null where the entry was only read.</summary>
    public QueueEntryRequest? Request { get; init; }
}
