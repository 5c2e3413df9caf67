using System.Diagnostics;
using System.Text.Json;
using JobLocks.Gate;
using JobLocks.Naming;
using JobLocks.Primitives;
using JobLocks.Quartz.Waiting;
using Quartz;

namespace JobLocks.Quartz.Entering;

/// <summary>A firing of Quartz as the gate reads it.</summary>
internal static class QuartzJobCall
{
    /// <summary>The name under which a template reaches the input of an <see cref="IJob{TInput}"/>.</summary>
    private const string Input = "input";

    /// <summary>The call, or null where no rule asks for a lock.</summary>
    /// <param name="context">The run.</param>
    /// <param name="runs">Where the run can be parked; null where it cannot.</param>
    /// <exception cref="JobLockRuleException">A rule cannot work.</exception>
    public static JobCall? From(IJobExecutionContext context, QuartzRuns? runs)
    {
        if (Of(context.JobDetail, context.Trigger.JobDataMap, context.MergedJobDataMap) is not { } call) return null;

        var parked = ParkedNameOf(context);
        var name = parked ?? Guid.NewGuid().ToString("N");
        return call with
        {
            JobId = IdOf(context),
            Store = () => runs?.Id,
            WasStartedBefore = () => WasStartedBefore(context),
            MayWaitInQueue = parked is not null && runs is not null,
            Address = _ => runs?.Id is { } store ? new(store, name, Queue: "") { Job = context.JobDetail.Key.ToString() } : null,
        };
    }

    /// <summary>A firing that is only explained.</summary>
    /// <exception cref="JobLockRuleException">A rule cannot work.</exception>
    public static JobCall? Of(IJobDetail job, JobDataMap triggerData)
    {
        var merged = new JobDataMap((IDictionary<string, object?>)job.JobDataMap);
        foreach (var (key, value) in triggerData) merged[key] = value;
        return Of(job, triggerData, merged);
    }

    /// <summary>How a person finds the run, in one line of a log: the job, and Quartz's own id of this firing of it.</summary>
    public static string IdOf(IJobExecutionContext context) => IdOf(context.JobDetail.Key, context.FireInstanceId);

    /// <inheritdoc cref="IdOf(IJobExecutionContext)"/>
    public static string IdOf(JobKey job, string fireInstanceId) => DisplayText.OneLine($"{job} fired {fireInstanceId}");

    /// <summary>The name under which a run was put back by us, and may stand in the line; null for any other firing.</summary>
    public static string? ParkedNameOf(IJobExecutionContext context) =>
        string.Equals(context.Trigger.Key.Group, StandIn.Group, StringComparison.Ordinal) ? context.Trigger.Key.Name : null;

    /// <summary>A recovery, a retry, or either of them put back by us.</summary>
    public static bool WasStartedBefore(IJobExecutionContext context) =>
        context.Recovering || HeldTrigger.AttemptOf(context.Trigger) > 0 || context.Trigger.JobDataMap.ContainsKey(DataKeys.StartedBefore);

    /// <summary>The activity in which a trigger was made, where Quartz has kept it.</summary>
    public static ActivityContext? TraceIn(JobDataMap data) =>
        data.TryGetValue(SchedulerConstants.TraceParent, out var parent)
        && ActivityContext.TryParse(parent as string, data.GetValueOrDefault(SchedulerConstants.TraceState) as string, isRemote: true, out var trace)
            ? trace
            : null;

    /// <summary>What becomes of a run whose locks could not be asked for: it is kept.</summary>
    public static Admission.Refused NoAnswer(JobCall call, Exception broken)
    {
        var retryAfter = call.Rules[0].RetryAfter;
        return new(OnConflict.Reschedule, $"Rescheduled: the lock could not be asked for. {broken.Message} Next try in {retryAfter.TotalSeconds:0} s", retryAfter) { IsUnavailable = true };
    }

    internal static IReadOnlyList<JobArgument> ArgumentsIn(JobDataMap data)
    {
        var arguments = new List<JobArgument>(data.Count);
        if (data.TryGetValue(SchedulerConstants.JobInput, out var input)) arguments.Add(new(Input, AsJson(input)));

        foreach (var (key, value) in data)
        {
            if (!DataKeys.IsPlumbing(key)) arguments.Add(new(key, value));
        }

        return arguments;
    }

    /// <summary>A firing with its data as the job sees them.</summary>
    /// <exception cref="JobLockRuleException">A rule cannot work.</exception>
    internal static JobCall? Of(IJobDetail detail, JobDataMap triggerData, JobDataMap merged)
    {
        // A class that this node cannot load is not ours to report: Quartz says it better.
        if (!detail.JobType.TryResolve(out var type)) return null;

        var job = DeclaredRules.SignatureOf(type, detail.Key);
        var rules = DeclaredRules.Of(type, job, detail.JobDataMap, triggerData);
        return rules.Count == 0
            ? null
            : new()
            {
                Scheduler = "Quartz",
                JobId = detail.Key.ToString(),
                Job = job,
                Arguments = ArgumentsIn(merged),
                Rules = rules,
                Trace = TraceIn(triggerData),
                ToJson = static value => JsonSerializer.Serialize(value, value.GetType()),
            };
    }

    /// <summary>Quartz keeps the input as JSON in every store. An application may have given it another form, which stays a text.</summary>
    private static object? AsJson(object? input)
    {
        if (input is not string text) return input;

        try
        {
            return JsonSerializer.Deserialize<JsonElement>(text);
        }
        catch (JsonException)
        {
            return text;
        }
    }
}
