namespace JobLocks.Postgres.Locks;

/// <summary>The state of one key in the <see cref="LocalLockTable"/>.</summary>
internal enum LockEntryState
{
    /// <summary>This process neither holds nor requests the lock.</summary>
    Free,

    /// <summary>The session was asked for the lock. The server has not answered yet.</summary>
    Requested,

    /// <summary>The session holds the lock.</summary>
    Held,

    /// <summary>
    /// The session that held the lock is lost; its connection may still be open. Some handles are not yet disposed: their runs may still work.
    /// </summary>
    Lost,
}
