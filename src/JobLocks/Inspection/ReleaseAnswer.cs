namespace JobLocks;

/// <summary>The result of <see cref="IJobLockInspector.RequestReleaseAsync"/>.</summary>
public enum ReleaseAnswer
{
    /// <summary>All holders at the time of the request have released the lock.</summary>
    Released,

    /// <summary>The lock had no holder.</summary>
    WasFree,

    /// <summary>The holder still holds the lock when the wait ends. A run ends when it checks its token, or by itself.</summary>
    StillHeld,

    /// <summary>All remaining holders are other programs than JobLocks, which cannot receive the request.</summary>
    IsForeign,
}
