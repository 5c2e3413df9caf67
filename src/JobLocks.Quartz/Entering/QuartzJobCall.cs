using System.Diagnostics;
using System.Text.Json;
using JobLocks.Gate;
using JobLocks.Naming;
using JobLocks.Primitives;
using JobLocks.Quartz.Waiting;
using Quartz;

namespace JobLocks.Quartz.Entering;

/// <summary>Converts a Quartz firing into the <see cref="JobCall"/> of the core.</summary>
internal static class QuartzJobCall
{
    /// <summary>The argument name of the input of an <see cref="IJob{TInput}"/> in a template.</summary>
    private const string Input = "input";

    /// <summary>The call; null if no rule requests a lock.</summary>
    /// <param name="context">The run.</param>
    /// <param name="runs">The store in which the run can be parked; null if it cannot be parked.</param>
    /// <exception cref="JobLockRuleException">A rule does not fit the run.</exception>
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
            MayHaveQueueEntry = parked is not null && runs is not null,
            Address = _ => runs?.Id is { } store ? new(store, name, Queue: "") { Job = context.JobDetail.Key.ToString() } : null,
        };
    }

    /// <summary>A firing that is only explained, not run.</summary>
    /// <exception cref="JobLockRuleException">A rule does not fit the firing.</exception>
    public static JobCall? Of(IJobDetail job, JobDataMap triggerData)
    {
        var merged = new JobDataMap((IDictionary<string, object?>)job.JobDataMap);
        foreach (var (key, value) in triggerData) merged[key] = value;
        return Of(job, triggerData, merged);
    }

    /// <summary>The text that identifies a run in logs: the job, and Quartz's id of the firing.</summary>
    public static string IdOf(IJobExecutionContext context) => IdOf(context.JobDetail.Key, context.FireInstanceId);

    /// <inheritdoc cref="IdOf(IJobExecutionContext)"/>
    public static string IdOf(JobKey job, string fireInstanceId) => DisplayText.OneLine($"{job} fired {fireInstanceId}");

    /// <summary>The name under which JobLocks put the run back, and under which it may have a queue entry; null for any other firing.</summary>
    public static string? ParkedNameOf(IJobExecutionContext context) =>
        string.Equals(context.Trigger.Key.Group, StandIn.Group, StringComparison.Ordinal) ? context.Trigger.Key.Name : null;

    /// <summary>Whether the run was started before: a recovery, a retry, or one of these that was put back.</summary>
    public static bool WasStartedBefore(IJobExecutionContext context) =>
        context.Recovering || HeldTrigger.AttemptOf(context.Trigger) > 0 || context.Trigger.JobDataMap.ContainsKey(DataKeys.StartedBefore);

    /// <summary>The activity in which the trigger was created, if Quartz has stored it.</summary>
    public static ActivityContext? TraceIn(JobDataMap data) =>
        data.TryGetValue(SchedulerConstants.TraceParent, out var parent)
        && ActivityContext.TryParse(parent as string, data.GetValueOrDefault(SchedulerConstants.TraceState) as string, isRemote: true, out var trace)
            ? trace
            : null;

    /// <summary>The refusal of a run whose lock request failed: it is rescheduled.</summary>
    public static Admission.Refused NoAnswer(JobCall call, Exception broken)
    {
        var retryAfter = call.Rules[0].RetryAfter;
        return new(OnConflict.Reschedule, $"Rescheduled: the lock could not be requested. {broken.Message} Next try in {retryAfter.TotalSeconds:0} s", retryAfter) { IsUnavailable = true };
    }

    internal static IReadOnlyList<JobArgument> ArgumentsIn(JobDataMap data)
    {
        var arguments = new List<JobArgument>(data.Count);
        if (data.TryGetValue(SchedulerConstants.JobInput, out var input)) arguments.Add(new(Input, AsJson(input)));

        foreach (var (key, value) in data)
        {
            if (!DataKeys.IsFilledByScheduler(key)) arguments.Add(new(key, value));
        }

        return arguments;
    }

    /// <summary>A firing with the data that the job sees.</summary>
    /// <exception cref="JobLockRuleException">A rule does not fit the firing.</exception>
    internal static JobCall? Of(IJobDetail detail, JobDataMap triggerData, JobDataMap merged)
    {
        // If this node cannot load the class of the job, Quartz reports that better.
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
                CreatedBy = TraceIn(triggerData),
                ToJson = static value => JsonSerializer.Serialize(value, value.GetType()),
            };
    }

    /// <summary>Quartz stores the input as JSON in every store. Input that an application stored in another format stays text.</summary>
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
