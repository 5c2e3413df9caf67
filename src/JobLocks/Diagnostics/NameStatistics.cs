namespace JobLocks.Diagnostics;

/// <summary>What happened under one name since it was last written down.</summary>
internal sealed class NameStatistics(LockKey key, string name)
{
    public LockKey Key => key;

    public string Name => name;

    /// <summary>How often it was held and let go.</summary>
    public long Runs { get; set; }

    /// <summary>For how long altogether.</summary>
    public TimeSpan Held { get; set; }

    /// <summary>How many runs were refused and did not wait.</summary>
    public long Refused { get; set; }

    /// <summary>How many stood in its line.</summary>
    public long Waited { get; set; }
}
