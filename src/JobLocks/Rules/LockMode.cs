namespace JobLocks;

/// <summary>Which other holders a lock excludes.</summary>
public enum LockMode
{
    /// <summary>All others: the holder is a single writer.</summary>
    Exclusive = 0,

    /// <summary>Writers: any number of readers share the lock. A reader must release the lock before it can acquire it as a writer.</summary>
    Shared = 1,
}
