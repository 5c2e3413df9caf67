namespace JobLocks.Quartz;

/// <summary>The reserved keys of a data map. Entries under them do not become part of a lock name, except the input of an <c>IJob&lt;TInput&gt;</c>.</summary>
internal static class DataKeys
{
    /// <summary>The prefix of a rule of <c>WithJobLock</c>. The lock name follows, so that several calls on one builder add up.</summary>
    public const string Rule = Prefix + "RULE:";

    /// <summary>In the data of a trigger that JobLocks has added: the run was started before, so a conflict must not end it.</summary>
    public const string StartedBefore = Prefix + "STARTED_BEFORE";

    /// <summary>In the data of a waiting trigger: when its run was due.</summary>
    public const string DueAt = Prefix + "DUE_AT";

    /// <summary>In the data of the <c>StoreMark</c> job: the name of the store.</summary>
    public const string Store = Prefix + "STORE";

    /// <summary>The prefix of all keys of JobLocks.</summary>
    public const string Prefix = "JOBLOCKS_";

    private const string Quartz = "QRTZ_";

    public static bool IsFilledByScheduler(string key) =>
        key.StartsWith(Quartz, StringComparison.Ordinal) || key.StartsWith(Prefix, StringComparison.Ordinal);
}
