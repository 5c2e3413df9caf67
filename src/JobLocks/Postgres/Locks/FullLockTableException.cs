namespace JobLocks.Postgres.Locks;

/// <summary>The lock table of the server is full. The request is refused, and held locks stay held.</summary>
/// <param name="largestUser">A sentence about the backend with the most entries, with a space at its end; null if it is not known.</param>
internal sealed class FullLockTableException(string? largestUser = null)
    : Exception($"the lock table is full: no lock was acquired, and held locks stay held. {largestUser}Raise max_locks_per_transaction there");
