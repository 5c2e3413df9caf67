namespace JobLocks.Postgres.Locks;

/// <summary>Limits of the entry number. A lock request is refused while the wait queue has an entry that precedes others and has a smaller number.</summary>
internal static class EntryLimit
{
    /// <summary>No entry precedes the request: its run was woken.</summary>
    public const long Woken = 0;

    /// <summary>Every entry precedes the request, and the answer contains a new entry number. For a request that waits outside of the wait queue.</summary>
    public const long DrawsEntryNumber = long.MaxValue - 1;

    /// <summary>Every entry precedes the request.</summary>
    public const long Newcomer = long.MaxValue;
}
