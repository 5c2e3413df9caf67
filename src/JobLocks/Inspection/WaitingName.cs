namespace JobLocks;

/// <summary>A name for which runs wait.</summary>
/// <param name="Key">Its key.</param>
/// <param name="Name">The name.</param>
/// <param name="Length">How many wait.</param>
/// <param name="Since">Since when the first of them does.</param>
/// <param name="Holder">Who has the lock; null where nobody does at the moment. One of them, where there are several.</param>
/// <param name="UsualHold">How long a run holds it on average; null where none has ended yet.</param>
public sealed record WaitingName(LockKey Key, string Name, long Length, DateTimeOffset Since, LockHolder? Holder, TimeSpan? UsualHold)
{
    /// <summary>How many of them wait in job stores that no running process serves. They let all others past, until their application is started.</summary>
    public long Unserved { get; init; }
}
