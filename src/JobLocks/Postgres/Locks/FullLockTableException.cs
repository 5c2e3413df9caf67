namespace JobLocks.Postgres.Locks;

/// <summary>The server's lock table is full: what was asked for is not admitted, and what is held stays.</summary>
/// <param name="most">Who has the most entries of it; null where that is not known.</param>
internal sealed class FullLockTableException(string? most = null) : Exception($"the lock table is full: nothing was taken, and what is held stays. {most}Raise max_locks_per_transaction there");
