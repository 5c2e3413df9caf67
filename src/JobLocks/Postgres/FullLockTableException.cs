namespace JobLocks.Postgres;

/// <summary>The server's lock table is full: what was asked for is not admitted, and what is held stays.</summary>
internal sealed class FullLockTableException() : Exception("the lock table is full: nothing was taken, and what is held stays. Raise max_locks_per_transaction there");
