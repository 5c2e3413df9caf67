namespace JobLocks;

/// <summary>A run on the timeline of a lock name: when it waited for the lock, and when it held the lock.</summary>
/// <remarks>The clock of the server says when a run began to wait. The clock of its process says when it was granted the lock and when it released the lock.</remarks>
/// <param name="Run">The run: <c>Hangfire job 1187</c>. Null where it is unknown.</param>
/// <param name="WaitingSince">When the run began to wait; null where it did not wait.</param>
/// <param name="HeldSince">When the run was granted the lock; null where it still waits, and for a holder whose grant is not recorded.</param>
/// <param name="ReleasedAt">When the run released the lock; null where it waits or holds the lock.</param>
public sealed record TimelineRun(string? Run, DateTimeOffset? WaitingSince, DateTimeOffset? HeldSince, DateTimeOffset? ReleasedAt)
{
    /// <summary>Whether the run holds the lock now.</summary>
    public bool IsHolding { get; init; }
}
