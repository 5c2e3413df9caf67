namespace JobLocks;

/// <summary>What happens to a run that meets a lock somebody else holds.</summary>
public enum OnConflict
{
    /// <summary>It waits in a durable line under the lock's name, in order, without a worker, and is woken when its turn comes. No retry is used up.</summary>
    Wait = 0,

    /// <summary>It is put back into the scheduler's own store and tried again later. No retry is used up.</summary>
    Reschedule = 1,

    /// <summary>It does not happen, and the record says who held the lock.</summary>
    Skip = 2,

    /// <summary>It fails with <see cref="JobLockConflictException"/>, and the scheduler's own rules go on from there.</summary>
    Fail = 3,
}
