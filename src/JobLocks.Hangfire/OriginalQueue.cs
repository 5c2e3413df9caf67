using Hangfire.Common;
using Hangfire.Server;
using Hangfire.States;
using Hangfire.Storage;

namespace JobLocks.Hangfire;

/// <summary>
/// The queue of a run that was enqueued into one by its state alone, as with <c>Create(call, new EnqueuedState("critical"))</c>.
/// A rescheduled run would come back into the default queue, which nobody may serve.
/// </summary>
internal static class OriginalQueue
{
    private const string Parameter = "JobLocks.Queue";

    /// <summary>The queue that the run came from.</summary>
    public static string Of(PerformContext context)
    {
        if (context.BackgroundJob.Job.Queue is { } own) return own;

        var enqueued = context.Storage.GetMonitoringApi().JobDetails(context.BackgroundJob.Id)?.History.FirstOrDefault(
            static state => string.Equals(state.StateName, EnqueuedState.StateName, StringComparison.OrdinalIgnoreCase));
        return enqueued?.Data.TryGetValue("Queue", out var queue) == true ? queue : EnqueuedState.DefaultQueue;
    }

    /// <summary>Writes the queue down beside the job, unless the job carries it itself.</summary>
    public static string Remember(PerformContext context)
    {
        var queue = Of(context);
        if (context.BackgroundJob.Job.Queue is null && !IsDefault(queue)) context.SetJobParameter(Parameter, queue);
        return queue;
    }

    /// <summary>The queue of a job that is stored.</summary>
    public static string Of(IStorageConnection connection, string jobId, JobData job) =>
        job.Job?.Queue ?? SerializationHelper.Deserialize<string>(connection.GetJobParameter(jobId, Parameter), SerializationOption.User) ?? EnqueuedState.DefaultQueue;

    /// <summary>Puts the queue back when the run's time has come.</summary>
    public static void Restore(ElectStateContext context)
    {
        if (context.CandidateState is not EnqueuedState enqueued || !IsDefault(enqueued.Queue)) return;
        if (!string.Equals(context.CurrentState, ScheduledState.StateName, StringComparison.OrdinalIgnoreCase)) return;

        if (context.GetJobParameter<string>(Parameter) is { } queue) enqueued.Queue = queue;
    }

    private static bool IsDefault(string queue) => string.Equals(queue, EnqueuedState.DefaultQueue, StringComparison.Ordinal);
}
