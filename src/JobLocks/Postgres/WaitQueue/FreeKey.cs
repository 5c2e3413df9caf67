namespace JobLocks.Postgres.WaitQueue;

/// <summary>A key under which at least one waiter can run.</summary>
/// <param name="Key">The key.</param>
/// <param name="Free">How many runs may start, where the lock has a limit.</param>
/// <param name="IncludesWoken">Whether runs that are woken already must be subtracted from <paramref name="Free"/>.</param>
internal readonly record struct FreeKey(LockKey Key, int Free = 1, bool IncludesWoken = false);
