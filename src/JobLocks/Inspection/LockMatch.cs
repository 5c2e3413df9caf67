namespace JobLocks;

/// <summary>A lock that a search has found.</summary>
/// <param name="Key">The key of the lock name.</param>
/// <param name="Name">The lock name; null where it is unknown.</param>
/// <param name="Because">What matched: <c>name</c>, <c>key</c>, or the run or job that waits for the lock or holds it.</param>
public sealed record LockMatch(LockKey Key, string? Name, string Because);
