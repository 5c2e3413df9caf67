namespace JobLocks.Postgres.Locks;

/// <summary>What the session may be told to do with a key: the numbers of the CASE in <see cref="LockSql.Batch"/>.</summary>
internal enum OperationCode : short
{
    /// <summary>Take it alone.</summary>
    Take = 0,

    /// <summary>Give it back, and tell another process that waits for it.</summary>
    Release = 1,

    /// <summary>Take it with other readers, unless a writer of another process waits.</summary>
    TakeShared = 2,

    /// <summary>Give it back as a reader, and tell another process that waits for it.</summary>
    ReleaseShared = 3,

    /// <summary>Ask whether a further reader may share what this session has: no, if a writer of another process waits.</summary>
    Join = 4,

    /// <summary>Show that somebody in this process waits.</summary>
    Mark = 5,

    /// <summary>Take that back.</summary>
    Unmark = 6,

    /// <summary>Show that a writer waits.</summary>
    Intend = 7,

    /// <summary>Take that back.</summary>
    Unintend = 8,

    /// <summary>Take the first free one of some slots.</summary>
    TakeSlot = 9,

    /// <summary>
    /// Draw the fencing token of all that this statement has granted; the key is its sequence. It comes last: those who had these locks
    /// before drew in earlier statements, and those who get them next draw in later ones, so it grows with each grant of a key.
    /// </summary>
    Draw = 10,
}
