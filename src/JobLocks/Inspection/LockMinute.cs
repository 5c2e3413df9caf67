namespace JobLocks;

/// <summary>What happened under a name in one minute.</summary>
/// <param name="Minute">When it began.</param>
/// <param name="Runs">How often the lock was held and let go.</param>
/// <param name="Held">For how long altogether.</param>
/// <param name="Refused">How many runs were refused and did not wait.</param>
/// <param name="Waited">How many came to stand in the line.</param>
public sealed record LockMinute(DateTimeOffset Minute, long Runs, TimeSpan Held, long Refused, long Waited);
