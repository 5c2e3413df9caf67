using System.Security.Cryptography;
using System.Text;
using JobLocks.Gate;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Waiting;

/// <summary>
/// A trigger of ours that fires once, for a firing whose own trigger goes on with its schedule meanwhile. The run sees its own trigger: a stand-in
/// carries what belongs to the firing.
/// </summary>
/// <param name="Origin">The run's own trigger.</param>
/// <param name="Due">When the run was due.</param>
/// <param name="Previous">The occurrence before it.</param>
/// <param name="Next">The occurrence after it.</param>
/// <param name="Final">When the run's own trigger ends by itself; null for never.</param>
internal sealed record StandIn(TriggerKey Origin, DateTimeOffset Due, DateTimeOffset? Previous, DateTimeOffset? Next, DateTimeOffset? Final)
{
    /// <summary>The group of all stand-ins.</summary>
    public const string Group = "joblocks";

    private const string OriginName = DataKeys.Prefix + "ORIGIN_NAME";
    private const string OriginGroup = DataKeys.Prefix + "ORIGIN_GROUP";
    private const string PreviousAt = DataKeys.Prefix + "PREVIOUS_AT";
    private const string NextAt = DataKeys.Prefix + "NEXT_AT";
    private const string FinalAt = DataKeys.Prefix + "FINAL_AT";

    /// <summary>Whether a trigger is one of ours.</summary>
    public static bool Is(TriggerKey key) => string.Equals(key.Group, Group, StringComparison.Ordinal);

    /// <summary>Whether a stand-in with this description waits for its lock, and does not come again by itself soon.</summary>
    public static bool Waits(string? description) => description?.StartsWith(JobGate.WaitReason, StringComparison.Ordinal) == true;

    /// <summary>What a stand-in carries; null where its run has no own trigger to show (a scheduler without our store).</summary>
    public static StandIn? In(JobDataMap data) =>
        data.GetValueOrDefault(OriginName) is string name && data.GetValueOrDefault(OriginGroup) is string group && HeldTrigger.TimeIn(data, DataKeys.DueAt) is { } due
            ? new(new(name, group), due, HeldTrigger.TimeIn(data, PreviousAt), HeldTrigger.TimeIn(data, NextAt), HeldTrigger.TimeIn(data, FinalAt))
            : null;

    /// <summary>A new name for a stand-in of this trigger. Names are short, since a column of a store may be.</summary>
    public static string NewName(TriggerKey origin) => $"{PrefixOf(origin)}{Guid.NewGuid():N}";

    /// <summary>What the names of all stand-ins of this trigger begin with.</summary>
    public static string PrefixOf(TriggerKey origin) => $"{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(HeldTrigger.NameOf(origin))).AsSpan(0, 8))}-";

    /// <summary>Data without our own entries, as the job is to see them.</summary>
    public static JobDataMap Without(JobDataMap data)
    {
        var theirs = new JobDataMap((IDictionary<string, object?>)data);
        foreach (var key in data.Keys.Where(static key => key.StartsWith(DataKeys.Prefix, StringComparison.Ordinal) && !key.StartsWith(DataKeys.Rule, StringComparison.Ordinal))) theirs.Remove(key);
        return theirs;
    }

    /// <summary>The trigger that waits for a firing of <paramref name="fired"/>.</summary>
    public IOperableTrigger Build(TimeProvider clock, string name, IOperableTrigger fired, bool wasStartedBefore, DateTimeOffset at, string reason)
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
            .WithExecutionGroup(Literally(fired.ExecutionGroup))
            .WithPreferredNode(fired.PreferredNode)
            .WithRetryPolicy(fired.RetryPolicy)
            // That it is late is no misfire.
            .WithSimpleSchedule(static once => once.WithMisfireInstruction(SimpleTriggerMisfireInstruction.IgnoreMisfires))
            .StartAt(at)
            .Build();
        trigger.RetryAttempt = HeldTrigger.AttemptOf(fired);
        trigger.ComputeFirstFireTimeUtc(calendar: null);
        return trigger;
    }

    /// <summary>The group is a result already: braces in it are no template any more.</summary>
    public static string? Literally(string? group) =>
        group?.Replace("{", "{{", StringComparison.Ordinal).Replace("}", "}}", StringComparison.Ordinal);
}
