namespace JobLocks;

/// <summary>A process that takes locks.</summary>
/// <param name="Session">Its session.</param>
/// <param name="Locks">How many locks it has.</param>
public sealed record LockProcess(LockHolder Session, long Locks);
