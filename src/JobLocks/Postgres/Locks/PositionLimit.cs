namespace JobLocks.Postgres.Locks;

/// <summary>Limits of the queue position. A lock request is refused while the wait queue has an entry with a position below this number.</summary>
internal static class PositionLimit
{
    /// <summary>No entry goes first: this run was woken.</summary>
    public const long Woken = 0;

    /// <summary>Every entry goes first, and the answer contains a new position. For a request that waits outside of the wait queue.</summary>
    public const long DrawsPosition = long.MaxValue - 1;

    /// <summary>Every entry goes first.</summary>
    public const long Newcomer = long.MaxValue;
}
