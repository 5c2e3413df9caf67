namespace JobLocks.Locks;

/// <summary>What became of a request for several locks.</summary>
/// <param name="Handles">In the order of the requests; empty where one was refused.</param>
/// <param name="Refused">The first that was refused; null where all were granted.</param>
/// <param name="IsBehind">Whether it was refused for the sake of those who stand in the line.</param>
internal sealed record AcquireResult(IReadOnlyList<JobLockHandle> Handles, LockRequest? Refused, bool IsBehind = false);
