namespace JobLocks;

/// <summary>Who takes back the locks of handles.</summary>
internal interface ILockOwner
{
    /// <summary>Takes a lock back. Never throws and never waits.</summary>
    void Release(JobLockHandle handle);

    /// <summary>Declares locks lost that can no longer be proved, before anybody believes them.</summary>
    void CheckClock();
}
