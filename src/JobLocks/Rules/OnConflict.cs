namespace JobLocks;

/// <summary>What happens to a run whose lock is held.</summary>
public enum OnConflict
{
    /// <summary>
    /// The run waits in a durable queue for the lock name, in the order of arrival. It occupies no worker and uses up no retry. A release of the lock
    /// wakes the next run.
    /// </summary>
    Wait = 0,

    /// <summary>The run goes back into the scheduler's own store and is tried again later. It uses up no retry.</summary>
    Reschedule = 1,

    /// <summary>The run ends without starting, and its record names the holder of the lock.</summary>
    Skip = 2,

    /// <summary>The run fails with <see cref="JobLockConflictException"/>, and the scheduler applies its own rules for failed runs.</summary>
    Fail = 3,
}
