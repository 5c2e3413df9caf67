namespace JobLocks;

/// <summary>A lock that a run would request.</summary>
/// <param name="Name">The lock name, scope included.</param>
/// <param name="Key">The number PostgreSQL would see; with a limit, the key of the first slot.</param>
/// <param name="Rule">The rule that requests it, as its author wrote it.</param>
public sealed record ExplainedLock(string Name, LockKey Key, string Rule)
{
    /// <summary>Name, key and rule.</summary>
    public override string ToString() => $"{Name} ({Key}) by {Rule}";
}
