using System.Collections.Concurrent;
using Hangfire;
using Hangfire.Common;
using Hangfire.Server;
using Hangfire.States;
using JobLocks.Gate;
using JobLocks.Naming;
using JobLocks.Rules;

namespace JobLocks.Hangfire;

/// <summary>Converts a Hangfire job into the <see cref="JobCall"/> of the core.</summary>
internal static class HangfireJobCall
{
    // AutomaticRetry has the order 20, continuations 1000. If they were called before this filter, they would act on a run that is only rescheduled.
    private const int LatestOrder = 19;

    private static readonly ConcurrentDictionary<(JobLockAttribute Attribute, JobSignature Job), LockRule> Rules = new();
    private static readonly ConcurrentDictionary<(Type Type, System.Reflection.MethodInfo Method), JobSignature> Signatures = new();

    /// <summary>All attributes that apply to a job: those of the type, those of the method and global ones.</summary>
    /// <param name="job">The job.</param>
    /// <param name="asking">The attribute that is called. It is included even if Hangfire's own filter providers do not return it.</param>
    public static IReadOnlyList<JobLockAttribute> AttributesOf(Job job, JobLockAttribute asking) =>
        [.. JobFilterProviders.Providers.GetFilters(job).Select(static filter => filter.Instance).OfType<JobLockAttribute>().Append(asking).Distinct()];

    /// <summary>The run that a worker is about to perform.</summary>
    /// <exception cref="JobLockRuleException">A rule does not fit the job.</exception>
    public static JobCall Of(PerformContext context, IReadOnlyList<JobLockAttribute> attributes) =>
        Of(context.BackgroundJob.Job, context.BackgroundJob.Id, attributes) with
        {
            Store = () => HangfireRuns.Of(context.Storage).TryIdentify(),
            WasStartedBefore = () => WasStartedBefore(context.Storage, context.BackgroundJob.Id),
            TryKeepWorker = share => HangfireRuns.Of(context.Storage).Servers.TryKeepWorker(context, share),
            MayHaveQueueEntry = FetchedRun.Of(context) is not { WasScheduled: false },
            Address = hasNoEntry => HangfireRuns.Of(context.Storage).AddressOf(context.BackgroundJob.Id, context.BackgroundJob.CreatedAt, hasNoEntry ? OriginalQueue.StoreAndGet(context) : ""),
        };

    /// <summary>A call that is only explained, not run.</summary>
    /// <exception cref="JobLockRuleException">A rule does not fit the job.</exception>
    public static JobCall Of(Job job) =>
        Of(job, jobId: "", JobFilterProviders.Providers.GetFilters(job).Select(static filter => filter.Instance).OfType<JobLockAttribute>().Distinct());

    /// <summary>A job that was just enqueued.</summary>
    /// <exception cref="JobLockRuleException">A rule does not fit the job.</exception>
    public static JobCall Of(BackgroundJob created, JobLockAttribute attribute) => Of(created.Job, created.Id, [attribute]);

    /// <summary>Builds the lock name of a job that is about to be enqueued, so that a mistake is reported at enqueue and not when the job runs.</summary>
    /// <exception cref="JobLockRuleException">A rule does not fit the job or its arguments.</exception>
    public static void Check(JobLockAttribute attribute, Job job)
    {
        var call = Of(job, jobId: "", [attribute]);
        if (attribute.Order > LatestOrder)
            throw new JobLockRuleException(
                $"{attribute.Declaration} on {call.Job.DisplayName} has Order = {attribute.Order}, but Hangfire's own filters from {LatestOrder + 1} on must see what became of a refused run. Use {LatestOrder} or less.");

        foreach (var rule in call.Rules) rule.KeyFor(rule.NameFor(call), call);
    }

    private static JobCall Of(Job job, string jobId, IEnumerable<JobLockAttribute> attributes)
    {
        var signature = Signatures.GetOrAdd((job.Type, job.Method), static job => SignatureOf(job.Type, job.Method));
        return new()
        {
            Scheduler = "Hangfire",
            JobId = jobId,
            Job = signature,
            Arguments = [.. signature.Parameters!.Select((parameter, i) => new JobArgument(parameter.Name, job.Args[i], parameter.IsFilledByScheduler))],
            Rules = [.. attributes.Select(attribute => Rules.GetOrAdd((attribute, signature), static key => LockRule.For(key.Attribute.Declaration, key.Job)))],
            ToJson = static value => SerializationHelper.Serialize(value, value.GetType(), SerializationOption.User),
        };
    }

    private static JobSignature SignatureOf(Type type, System.Reflection.MethodInfo method)
    {
        var name = method.IsGenericMethod ? $"{method.Name}[{string.Join(',', method.GetGenericArguments().Select(static argument => argument.ToString()))}]" : method.Name;
        return JobSignature.Of(type, name, [.. method.GetParameters().Select(static parameter => new JobParameter(parameter.Name!, parameter.ParameterType, IsFilledByScheduler(parameter.ParameterType)))]);
    }

    private static bool IsFilledByScheduler(Type type) =>
        type == typeof(CancellationToken) || typeof(IJobCancellationToken).IsAssignableFrom(type) || typeof(PerformContext).IsAssignableFrom(type);

    /// <summary>
    /// True for a run that was fetched a second time: its worker died, or its first execution outlived the invisibility timeout
    /// and may still be running. Only the job of such a run changes from Processing to Processing.
    /// </summary>
    private static bool WasStartedBefore(JobStorage storage, string jobId)
    {
        var states = storage.GetMonitoringApi().JobDetails(jobId)?.History.Select(static state => state.StateName).ToList() ?? [];
        return states.Zip(states.Skip(1)).Any(static pair => IsProcessing(pair.First) && IsProcessing(pair.Second));
    }

    private static bool IsProcessing(string state) => string.Equals(state, ProcessingState.StateName, StringComparison.OrdinalIgnoreCase);
}
