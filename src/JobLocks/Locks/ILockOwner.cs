namespace JobLocks.Locks;

/// <summary>Releases the locks of handles. Thread-safe.</summary>
internal interface ILockOwner
{
    /// <summary>Releases a lock. Does not throw and does not block.</summary>
    void Release(LockGrant grant);

    /// <summary>
    /// Call it when the handle of a lock was collected without being disposed. The finalizer calls it, so it does not throw, does not block and
    /// acquires no mutex.
    /// </summary>
    void OnHandleCollected(LockGrant grant);

    /// <summary>Reads the clock, and declares the locks lost where the session has not proved in time that it holds them.</summary>
    void CheckClock();
}
