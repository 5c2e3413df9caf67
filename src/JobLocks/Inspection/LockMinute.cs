namespace JobLocks;

/// <summary>The statistics of one lock name in one minute.</summary>
/// <param name="Minute">When the minute began.</param>
/// <param name="Runs">How often the lock was released.</param>
/// <param name="Held">For how long the lock was held in total, by the holders that have released it.</param>
/// <param name="Refused">How many runs were refused and did not enter the queue.</param>
/// <param name="Waited">How many runs entered the queue.</param>
public sealed record LockMinute(DateTimeOffset Minute, long Runs, TimeSpan Held, long Refused, long Waited)
{
    /// <summary>
    /// For how long the lock was free, or a shared or limited lock had room, while runs waited for it: the sum of the times from the wake of a run until it held
    /// the lock. In this time the work of the name stands still. A run is not counted if it starts later than
    /// <see cref="JobLocksOptions.WakeTimeout"/> after its wake: other runs may have held the lock since.
    /// </summary>
    public TimeSpan FreeWhileWaiting { get; init; }
}
