namespace JobLocks;

/// <summary>A name that was found.</summary>
/// <param name="Key">Its key.</param>
/// <param name="Name">The name; null where it is not known.</param>
/// <param name="Because">Why: "name", "key", or the run that was looked for.</param>
public sealed record LockMatch(LockKey Key, string? Name, string Because);
