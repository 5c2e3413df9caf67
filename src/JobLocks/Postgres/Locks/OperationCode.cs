namespace JobLocks.Postgres.Locks;

/// <summary>The operations of the session on a key. The values are the branches of the CASE in <see cref="LockSql.Batch"/>.</summary>
internal enum OperationCode : short
{
    /// <summary>Acquires the lock in exclusive mode.</summary>
    Acquire = 0,

    /// <summary>Releases an exclusive lock, and notifies other processes if one of them waits for it.</summary>
    Release = 1,

    /// <summary>Acquires the lock in shared mode. Refused while a writer of another process waits.</summary>
    AcquireShared = 2,

    /// <summary>Releases a shared lock, and notifies other processes if one of them waits for it.</summary>
    ReleaseShared = 3,

    /// <summary>Checks whether one more reader can share the lock that this session holds. Refused while a writer of another process waits.</summary>
    Join = 4,

    /// <summary>Sets the waiter signal: this process waits for the lock.</summary>
    SetWaiterSignal = 5,

    /// <summary>Clears the waiter signal.</summary>
    ClearWaiterSignal = 6,

    /// <summary>Sets the writer signal: a writer of this process waits for the lock.</summary>
    SetWriterSignal = 7,

    /// <summary>Clears the writer signal.</summary>
    ClearWriterSignal = 8,

    /// <summary>Acquires the first free slot of a list.</summary>
    AcquireSlot = 9,

    /// <summary>
    /// Draws the fencing token for everything that this statement grants. The key is the OID of the sequence. This is the last operation of its
    /// statement: earlier holders of these locks drew in earlier statements, and later holders draw in later ones, so the token grows with each grant
    /// of a key.
    /// </summary>
    DrawToken = 10,

    /// <summary>
    /// An <see cref="UncontestedStatement"/> has already released the exclusive lock. This operation only reads which runs wait for it.
    /// </summary>
    Released = 11,
}
