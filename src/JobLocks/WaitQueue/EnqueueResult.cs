namespace JobLocks.WaitQueue;

/// <summary>The result of a request to enter the wait queue.</summary>
/// <param name="Entry">The queue entry of the run; null where the queue is full.</param>
/// <param name="Ahead">How many runs wait ahead of this one; without an entry, how many runs wait. Counted up to the limit.</param>
/// <param name="FormerKey">The lock for which the run waited before, where that is another one; otherwise null.</param>
/// <param name="IsNewEntry">Whether the run had no queue entry before.</param>
internal sealed record EnqueueResult(QueueEntry? Entry, int Ahead, LockKey? FormerKey = null, bool IsNewEntry = false)
{
    /// <summary>Whether the job stores have confirmed that the waiting runs exist. Only then may the run be skipped because of them.</summary>
    public bool AreWaitersConfirmed { get; init; }
}
