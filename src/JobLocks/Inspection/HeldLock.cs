namespace JobLocks;

/// <summary>A held lock, with one of its holders.</summary>
/// <param name="Key">The number PostgreSQL sees. With a limit, the key of the slot.</param>
/// <param name="NameKey">The key of the lock name. It differs from <paramref name="Key"/> only for the further slots of a limit.</param>
/// <param name="Name">The lock name; null where it is unknown.</param>
/// <param name="Mode">Which other holders the lock excludes.</param>
/// <param name="Holder">The holder.</param>
/// <param name="UsualHold">How long a run holds a lock of this name on average; null where no run has ended yet.</param>
public sealed record HeldLock(LockKey Key, LockKey NameKey, string? Name, LockMode Mode, LockHolder Holder, TimeSpan? UsualHold);
