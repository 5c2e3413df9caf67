namespace JobLocks.Quartz;

/// <summary>Our own entries in a data map, and those of Quartz. None of them ever names a lock, but for a job's input.</summary>
internal static class DataKeys
{
    /// <summary>A rule of <c>WithJobLock</c>. The lock name follows, so that several calls on one builder add up.</summary>
    public const string Rule = Ours + "RULE:";

    /// <summary>In the data of our own trigger: its run had begun once, so a conflict must never end it.</summary>
    public const string StartedBefore = Ours + "STARTED_BEFORE";

    /// <summary>In the data of one firing only: why the run could not be put back into the store.</summary>
    public const string PutOff = Ours + "PUT_OFF";

    /// <summary>In the data of a trigger that waits: when its run was due.</summary>
    public const string DueAt = Ours + "DUE_AT";

    /// <summary>In the data of the job that names a store: its name.</summary>
    public const string Store = Ours + "STORE";

    private const string Ours = "JOBLOCKS_";
    private const string Quartz = "QRTZ_";

    public static bool IsPlumbing(string key) =>
        key.StartsWith(Quartz, StringComparison.Ordinal) || key.StartsWith(Ours, StringComparison.Ordinal);
}
