namespace JobLocks.WaitQueue;

/// <summary>A run's own place in the line.</summary>
/// <param name="Place">Its place: a number that grows with each arrival.</param>
/// <param name="Key">The lock that it waits for.</param>
/// <param name="IsWoken">Whether it is its turn.</param>
/// <param name="IsOverdue">Whether it has waited for as long as its rule allows.</param>
/// <param name="Since">Since when it stands there, by the clock of the server.</param>
/// <param name="Verdict">Why it is not to run at all; null while it may.</param>
internal sealed record QueueEntry(long Place, LockKey Key, bool IsWoken, bool IsOverdue, string? Verdict, DateTimeOffset Since)
{
    /// <summary>Who stands there, what for, and for how long; null where it was only looked up.</summary>
    public QueueEntryRequest? Request { get; init; }
}
