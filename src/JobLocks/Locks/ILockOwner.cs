namespace JobLocks.Locks;

/// <summary>Who takes back the locks of handles.</summary>
internal interface ILockOwner
{
    /// <summary>Takes a lock back. Never throws and never waits.</summary>
    void Release(LockGrant grant);

    /// <summary>The handle of a lock was collected without being disposed. Called by the finalizer: never throws, never waits, and takes no mutex.</summary>
    void Collected(LockGrant grant);

    /// <summary>Declares locks lost that can no longer be proved, before anybody believes them.</summary>
    void CheckClock();
}
