namespace JobLocks;

/// <summary>What is held, what waits and who takes locks, in one reading: the numbers fit together.</summary>
/// <param name="Overview">What happens at the moment.</param>
/// <param name="Held">A part of what is held, the longest first. Readers of one process that share a lock count one each here.</param>
/// <param name="Waiting">A part of the names for which runs wait, the longest wait queue first.</param>
public sealed record LockSnapshot(LockOverview Overview, LockPage<HeldLock> Held, LockPage<WaitingName> Waiting);
