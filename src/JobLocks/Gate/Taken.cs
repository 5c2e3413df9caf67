namespace JobLocks.Gate;

/// <summary>What became of a wish for several locks.</summary>
/// <param name="Handles">In the order of the wishes; empty where one was refused.</param>
/// <param name="Refused">The first that was refused; null where all were granted.</param>
/// <param name="IsBehind">Whether it was refused for the sake of those who stand in the line.</param>
internal sealed record Taken(IReadOnlyList<JobLockHandle> Handles, LockWish? Refused, bool IsBehind = false);
