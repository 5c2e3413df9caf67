namespace JobLocks.Postgres.WaitQueue;

/// <summary>A key under which somebody may run.</summary>
/// <param name="Key">The key.</param>
/// <param name="Free">How many may, where the lock has a limit.</param>
/// <param name="CountsWoken">Whether those whose turn has come already are among them.</param>
internal readonly record struct FreeKey(LockKey Key, int Free = 1, bool CountsWoken = false);
