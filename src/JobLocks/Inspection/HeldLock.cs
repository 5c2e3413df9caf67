namespace JobLocks;

/// <summary>A lock that somebody has.</summary>
/// <param name="Key">What PostgreSQL sees. With a limit, the key of the slot.</param>
/// <param name="Line">The key of the name: that of the lock itself, but for the further slots of a limit.</param>
/// <param name="Name">The name; null where it is not known.</param>
/// <param name="Mode">Whom it keeps out.</param>
/// <param name="Holder">Who has it.</param>
/// <param name="UsualHold">How long a run holds this name on average; null where none has ended yet.</param>
public sealed record HeldLock(LockKey Key, LockKey Line, string? Name, LockMode Mode, LockHolder Holder, TimeSpan? UsualHold);
