namespace JobLocks.Quartz;

/// <summary>Our own entries in a data map, and those of Quartz. None of them ever names a lock, but for a job's input.</summary>
internal static class DataKeys
{
    /// <summary>A rule of <c>WithJobLock</c>. The lock name follows, so that several calls on one builder add up.</summary>
    public const string Rule = Prefix + "RULE:";

    /// <summary>In the data of our own trigger: its run had begun once, so a conflict must never end it.</summary>
    public const string StartedBefore = Prefix + "STARTED_BEFORE";

    /// <summary>In the data of a trigger that waits: when its run was due.</summary>
    public const string DueAt = Prefix + "DUE_AT";

    /// <summary>In the data of the job that names a store: its name.</summary>
    public const string Store = Prefix + "STORE";

    /// <summary>What each of our own entries begins with.</summary>
    public const string Prefix = "JOBLOCKS_";

    private const string Quartz = "QRTZ_";

    public static bool IsPlumbing(string key) =>
        key.StartsWith(Quartz, StringComparison.Ordinal) || key.StartsWith(Prefix, StringComparison.Ordinal);
}
