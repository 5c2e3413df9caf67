using Hangfire.Common;
using Hangfire.Server;
using Hangfire.States;
using Hangfire.Storage;

namespace JobLocks.Hangfire;

/// <summary>
/// The queue of a run whose queue was set only by its state, as with <c>Create(call, new EnqueuedState("critical"))</c>.
/// Without this class, Hangfire would put the rescheduled run into the default queue, which possibly no server works on.
/// </summary>
internal static class OriginalQueue
{
    private const string Parameter = "JobLocks.Queue";

    /// <summary>The queue from which the run was fetched.</summary>
    public static string Of(PerformContext context)
    {
        if (context.BackgroundJob.Job.Queue is { } jobQueue) return jobQueue;
        if (LastQueueInPostgres.Of(context.Storage, context.BackgroundJob.Id) is { } known) return known.Length > 0 ? known : EnqueuedState.DefaultQueue;

        var enqueued = context.Storage.GetMonitoringApi().JobDetails(context.BackgroundJob.Id)?.History.FirstOrDefault(
            static state => string.Equals(state.StateName, EnqueuedState.StateName, StringComparison.OrdinalIgnoreCase));
        return enqueued?.Data.TryGetValue("Queue", out var queue) == true ? queue : EnqueuedState.DefaultQueue;
    }

    /// <summary>Stores the queue as a parameter of the job, unless the job has its own queue or the queue is the default.</summary>
    public static string StoreAndGet(PerformContext context)
    {
        var queue = Of(context);
        if (context.BackgroundJob.Job.Queue is null && !IsDefault(queue)) context.SetJobParameter(Parameter, queue);
        return queue;
    }

    /// <summary>The queue of a stored job.</summary>
    public static string Of(IStorageConnection connection, string jobId, JobData job) =>
        job.Job?.Queue ?? SerializationHelper.Deserialize<string>(connection.GetJobParameter(jobId, Parameter), SerializationOption.User) ?? EnqueuedState.DefaultQueue;

    /// <summary>Sets the original queue when Hangfire enqueues the scheduled job.</summary>
    public static void Restore(ElectStateContext context)
    {
        if (context.CandidateState is not EnqueuedState enqueued || !IsDefault(enqueued.Queue)) return;
        if (!string.Equals(context.CurrentState, ScheduledState.StateName, StringComparison.OrdinalIgnoreCase)) return;

        if (context.GetJobParameter<string>(Parameter) is { } queue) enqueued.Queue = queue;
    }

    private static bool IsDefault(string queue) => string.Equals(queue, EnqueuedState.DefaultQueue, StringComparison.Ordinal);
}
