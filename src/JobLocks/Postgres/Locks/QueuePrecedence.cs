namespace JobLocks.Postgres.Locks;

/// <summary>Who of those who stand in the line goes before a take: all whose place is less than this number.</summary>
internal static class QueuePrecedence
{
    /// <summary>Nobody: its turn has come.</summary>
    public const long Woken = 0;

    /// <summary>All, and the answer says which place it would have: for one who waits without standing in the line.</summary>
    public const long DrawsPosition = long.MaxValue - 1;

    /// <summary>All.</summary>
    public const long Newcomer = long.MaxValue;
}
