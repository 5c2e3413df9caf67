namespace JobLocks;

/// <summary>Held locks, names for which runs wait, and processes, read at one moment: the numbers are consistent.</summary>
/// <param name="Overview">The current state of all locks, in numbers.</param>
/// <param name="Held">A page of held locks, the longest held first. Readers of one process that share a lock are separate items here.</param>
/// <param name="Waiting">A page of the names for which runs wait, the longest wait queue first.</param>
public sealed record LockSnapshot(LockOverview Overview, LockPage<HeldLock> Held, LockPage<WaitingName> Waiting);
