namespace JobLocks;

/// <summary>A process that uses JobLocks, or another program that holds an advisory lock.</summary>
/// <param name="Session">The process and its session.</param>
/// <param name="Locks">How many locks it holds.</param>
public sealed record LockProcess(LockHolder Session, long Locks);
