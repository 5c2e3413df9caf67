namespace JobLocks.Postgres.Locks;

/// <summary>The server's lock table is full: what was asked for is not admitted, and what is held stays.</summary>
/// <param name="largestUser">Who has the most entries of it; null where that is not known.</param>
internal sealed class FullLockTableException(string? largestUser = null)
    : Exception($"the lock table is full: nothing was taken, and what is held stays. {largestUser}Raise max_locks_per_transaction there");
