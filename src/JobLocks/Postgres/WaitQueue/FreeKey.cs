namespace JobLocks.Postgres.WaitQueue;

/// <summary>A key under which at least one waiter can run.</summary>
/// <param name="Key">The key.</param>
/// <param name="Free">How many runs may start, where the lock has a limit.</param>
/// <param name="IncludesWoken">Whether <paramref name="Free"/> still includes slots for runs that were woken and have not started.</param>
internal readonly record struct FreeKey(LockKey Key, int Free = 1, bool IncludesWoken = false);
