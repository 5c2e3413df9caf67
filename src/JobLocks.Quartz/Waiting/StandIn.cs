using System.Security.Cryptography;
using System.Text;
using JobLocks.Gate;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Waiting;

/// <summary>
/// A trigger that JobLocks adds. It replaces one firing of a trigger that must continue its schedule, and fires once. Then the run is shown the original
/// trigger with the times and the data of that firing, which the stand-in carries.
/// </summary>
/// <param name="Origin">The original trigger.</param>
/// <param name="Due">The time at which the run was due.</param>
/// <param name="Previous">The occurrence before it.</param>
/// <param name="Next">The occurrence after it.</param>
/// <param name="Final">The time at which the original trigger ends; null for never.</param>
internal sealed record StandIn(TriggerKey Origin, DateTimeOffset Due, DateTimeOffset? Previous, DateTimeOffset? Next, DateTimeOffset? Final)
{
    /// <summary>The group of all stand-ins.</summary>
    public const string Group = "joblocks";

    private const string OriginName = DataKeys.Prefix + "ORIGIN_NAME";
    private const string OriginGroup = DataKeys.Prefix + "ORIGIN_GROUP";
    private const string PreviousAt = DataKeys.Prefix + "PREVIOUS_AT";
    private const string NextAt = DataKeys.Prefix + "NEXT_AT";
    private const string FinalAt = DataKeys.Prefix + "FINAL_AT";

    /// <summary>Whether a trigger belongs to the group of stand-ins.</summary>
    public static bool Is(TriggerKey key) => string.Equals(key.Group, Group, StringComparison.Ordinal);

    /// <summary>Whether a stand-in with this description waits for its lock, and is not merely rescheduled for a short time.</summary>
    public static bool Waits(string? description) => description?.StartsWith(JobGate.WaitReason, StringComparison.Ordinal) == true;

    /// <summary>The data of a stand-in; null if it has none, because a scheduler that was built without JobLocks has added it.</summary>
    public static StandIn? In(JobDataMap data) =>
        data.GetValueOrDefault(OriginName) is string name && data.GetValueOrDefault(OriginGroup) is string group && HeldTrigger.TimeIn(data, DataKeys.DueAt) is { } due
            ? new(new(name, group), due, HeldTrigger.TimeIn(data, PreviousAt), HeldTrigger.TimeIn(data, NextAt), HeldTrigger.TimeIn(data, FinalAt))
            : null;

    /// <summary>A new name for a stand-in of this trigger. The name is short, because the column of a store may be.</summary>
    public static string NewName(TriggerKey origin) => $"{PrefixOf(origin)}{Guid.NewGuid():N}";

    /// <summary>The prefix of the names of all stand-ins of this trigger.</summary>
    public static string PrefixOf(TriggerKey origin) => $"{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(HeldTrigger.NameOf(origin))).AsSpan(0, 8))}-";

    /// <summary>The data without the entries of JobLocks, as the job sees them. Rules stay.</summary>
    public static JobDataMap WithoutOwnEntries(JobDataMap data)
    {
        var remaining = new JobDataMap((IDictionary<string, object?>)data);
        foreach (var key in data.Keys.Where(static key => key.StartsWith(DataKeys.Prefix, StringComparison.Ordinal) && !key.StartsWith(DataKeys.Rule, StringComparison.Ordinal))) remaining.Remove(key);
        return remaining;
    }

    /// <summary>Builds the trigger that waits for a firing of <paramref name="fired"/>.</summary>
    public IOperableTrigger Build(TimeProvider clock, string name, IOperableTrigger fired, bool wasStartedBefore, DateTimeOffset dueAt, string reason)
    {
        var data = new JobDataMap((IDictionary<string, object?>)fired.JobDataMap)
        {
            [OriginName] = Origin.Name,
            [OriginGroup] = Origin.Group,
            [DataKeys.DueAt] = HeldTrigger.Text(Due),
        };
        if (Previous is { } previous) data[PreviousAt] = HeldTrigger.Text(previous);
        if (Next is { } next) data[NextAt] = HeldTrigger.Text(next);
        if (Final is { } final) data[FinalAt] = HeldTrigger.Text(final);
        if (wasStartedBefore) data[DataKeys.StartedBefore] = "true";

        var trigger = (IOperableTrigger)TriggerBuilder.Create(clock)
            .WithIdentity(name, Group)
            .WithDescription(reason)
            .ForJob(fired.JobKey)
            .UsingJobData(data)
            .WithPriority(fired.Priority)
            .WithExecutionGroup(EscapeTemplate(fired.ExecutionGroup))
            .WithPreferredNode(fired.PreferredNode)
            .WithRetryPolicy(fired.RetryPolicy)
            // A stand-in that fires late is not a misfire.
            .WithSimpleSchedule(static schedule => schedule.WithMisfireInstruction(SimpleTriggerMisfireInstruction.IgnoreMisfires))
            .StartAt(dueAt)
            .Build();
        trigger.RetryAttempt = HeldTrigger.AttemptOf(fired);
        trigger.ComputeFirstFireTimeUtc(calendar: null);
        return trigger;
    }

    /// <summary>Escapes braces in a group: the group of a fired trigger is a result, and must not be read as a template again.</summary>
    public static string? EscapeTemplate(string? group) =>
        group?.Replace("{", "{{", StringComparison.Ordinal).Replace("}", "}}", StringComparison.Ordinal);
}
