using JobLocks.Locks;

namespace JobLocks.InMemory.Locks;

/// <summary>The answer to an acquire request.</summary>
/// <param name="Grants">One for each lock, in the order of the requests; empty where one was refused.</param>
/// <param name="Refused">The first refused lock request; null where all were granted.</param>
/// <param name="IsRefusedForQueue">Whether the lock is free, and entries of the wait queue precede the caller.</param>
internal sealed record MemoryAnswer(IReadOnlyList<LockGrant> Grants, LockRequest? Refused, bool IsRefusedForQueue);
