namespace JobLocks.Locks;

/// <summary>The result of an acquire request for one or several locks.</summary>
/// <param name="Handles">The handles, in the order of the lock requests; empty where a request was refused.</param>
/// <param name="Refused">The first refused lock request; null where all were granted.</param>
/// <param name="IsRefusedForQueue">Whether the request was refused because entries of the wait queue precede it.</param>
internal sealed record AcquireResult(IReadOnlyList<JobLockHandle> Handles, LockRequest? Refused, bool IsRefusedForQueue = false);
