namespace JobLocks;

/// <summary>A process that uses JobLocks.</summary>
/// <param name="Session">The process and its session.</param>
/// <param name="Locks">How many locks it holds.</param>
public sealed record LockProcess(LockHolder Session, long Locks);
