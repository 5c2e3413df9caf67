using System.Runtime.CompilerServices;
using Hangfire.Server;
using Hangfire.States;
using Microsoft.Extensions.Logging;

namespace JobLocks.Hangfire;

/// <summary>A run whose lock was lost. Adds the loss to the reason of the state that the job gets.</summary>
internal sealed class LostRun(JobLockHandle handle)
{
    private const string ItemKey = "JobLocks.Lost";

    // When a run fails, Hangfire elects the state without the items of the run. The exception is the only object that both calls receive.
    private static readonly ConditionalWeakTable<Exception, LostRun> Failures = [];

    private string Reason { get; } = handle.LostReason;

    /// <summary>The state of a run that is stopped because of the loss.</summary>
    public FailedState Failure(string? serverId) => new(new JobLockLostException(Reason, handle.LostBecause), serverId) { Reason = Reason };

    /// <summary>Keeps the loss until Hangfire elects the final state of a run that ended by itself.</summary>
    /// <exception cref="JobLockLostException">
    /// The run ended with an <see cref="OperationCanceledException"/>, which would not name the loss as its cause.
    /// </exception>
    public void Remember(PerformedContext context, ILoggerFactory loggers)
    {
        // Set even if the job threw: another filter may mark the exception as handled.
        context.Items[ItemKey] = this;
        if (context.Exception is null || context.ExceptionHandled)
        {
            if (!context.Canceled) loggers.CreateLogger<JobLockAttribute>().EndedWithoutLock(context.BackgroundJob.Id, handle.ToString(), handle.Key.Value);
            return;
        }

        // Hangfire wraps exceptions of the job. An unwrapped exception is Hangfire's own: the run was aborted, or its server shuts down.
        if (context.Exception is not JobPerformanceException { InnerException: { } thrown }) return;
        if (thrown is OperationCanceledException) throw new JobLockLostException(Reason, thrown);

        Failures.AddOrUpdate(thrown, this);
    }

    /// <summary>Adds the loss to the reason of the final state. Called again each time Hangfire repeats the state change.</summary>
    public static void AddReason(ElectStateContext context)
    {
        switch (context.CandidateState)
        {
            case SucceededState succeeded when context.CustomData?.TryGetValue(ItemKey, out var item) == true && item is LostRun run:
                succeeded.Reason = $"Ended by itself, but without its lock. {run.Reason}";
                break;
            case FailedState { Exception: JobLockLostException lost } failed:
                failed.Reason = lost.Message;
                break;
            case FailedState failed when Failures.TryGetValue(failed.Exception, out var run):
                failed.Reason = $"An exception occurred during performance of the job. {run.Reason}";
                break;
        }
    }
}
