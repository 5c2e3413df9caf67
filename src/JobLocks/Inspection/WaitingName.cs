namespace JobLocks;

/// <summary>A lock name for which runs wait.</summary>
/// <param name="Key">The key of the name.</param>
/// <param name="Name">The name.</param>
/// <param name="Length">How many runs wait.</param>
/// <param name="Since">When the first of them began to wait.</param>
/// <param name="Holder">The holder of the lock, or one of several holders; null where the lock is free at the moment.</param>
/// <param name="UsualHold">How long a run holds the lock on average; null where no run has ended yet.</param>
public sealed record WaitingName(LockKey Key, string Name, long Length, DateTimeOffset Since, LockHolder? Holder, TimeSpan? UsualHold)
{
    /// <summary>
    /// How many of the waiting runs are in job stores that no running scheduler or Hangfire server serves. All other runs bypass them until one does.
    /// </summary>
    public long Unserved { get; init; }
}
