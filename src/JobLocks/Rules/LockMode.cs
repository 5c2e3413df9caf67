namespace JobLocks;

/// <summary>Whom a lock keeps out.</summary>
public enum LockMode
{
    /// <summary>Everybody else: one writer alone.</summary>
    Exclusive = 0,

    /// <summary>Writers: any number of readers share it. A reader cannot become a writer without letting go first.</summary>
    Shared = 1,
}
