namespace JobLocks;

/// <summary>The statistics of one lock name in one minute.</summary>
/// <param name="Minute">When the minute began.</param>
/// <param name="Runs">How often the lock was released.</param>
/// <param name="Held">For how long the lock was held in total, by the holders that have released it.</param>
/// <param name="Refused">How many runs were refused and did not enter the queue.</param>
/// <param name="Waited">How many runs entered the queue.</param>
public sealed record LockMinute(DateTimeOffset Minute, long Runs, TimeSpan Held, long Refused, long Waited);
