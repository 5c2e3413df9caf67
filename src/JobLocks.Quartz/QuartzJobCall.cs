using System.Text.Json;
using JobLocks.Naming;
using Quartz;

namespace JobLocks.Quartz;

/// <summary>A firing of Quartz as the gate reads it.</summary>
internal static class QuartzJobCall
{
    /// <summary>The name under which a template reaches the input of an <see cref="IJob{TInput}"/>.</summary>
    private const string Input = "input";

    /// <summary>The call, or null where no rule asks for a lock.</summary>
    /// <exception cref="JobLockRuleException">A rule cannot work.</exception>
    public static JobCall? From(IJobExecutionContext context)
    {
        // A class that this node cannot load is not ours to report: Quartz says it better.
        if (!context.JobDetail.JobType.TryResolve(out var type)) return null;

        var job = DeclaredRules.SignatureOf(type, context.JobDetail.Key);
        var rules = DeclaredRules.Of(type, job, context.JobDetail, context.Trigger);
        return rules.Count == 0
            ? null
            : new()
            {
                Scheduler = "Quartz",
                JobId = IdOf(context),
                Job = job,
                Arguments = ArgumentsIn(context.MergedJobDataMap),
                Rules = rules,
                ToJson = static value => JsonSerializer.Serialize(value, value.GetType()),
                WasStartedBefore = () => WasStartedBefore(context),
            };
    }

    /// <summary>How a person finds the run: the job, and Quartz's own id of this firing of it.</summary>
    public static string IdOf(IJobExecutionContext context) => $"{context.JobDetail.Key} fired {context.FireInstanceId}";

    /// <summary>A recovery, a retry, or either of them put back by us.</summary>
    public static bool WasStartedBefore(IJobExecutionContext context) =>
        context.Recovering || context.RetryAttempt > 0 || context.Trigger.JobDataMap.ContainsKey(DataKeys.StartedBefore);

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
