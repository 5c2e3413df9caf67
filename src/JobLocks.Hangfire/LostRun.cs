using System.Runtime.CompilerServices;
using Hangfire.Server;
using Hangfire.States;
using Microsoft.Extensions.Logging;

namespace JobLocks.Hangfire;

/// <summary>A run whose lock was lost, in Hangfire's own states: whatever its end is, the record says so.</summary>
internal sealed class LostRun(JobLockHandle handle)
{
    private const string ItemKey = "JobLocks.Lost";

    // After a failure Hangfire elects a state without what the run carried along; the exception is all that is left of it.
    private static readonly ConditionalWeakTable<Exception, LostRun> Failures = [];

    private string Reason { get; } = handle.LostReason;

    /// <summary>The state of a run that is stopped.</summary>
    public FailedState Failure(string? serverId) => new(new JobLockLostException(Reason, handle.LostBecause), serverId) { Reason = Reason };

    /// <summary>Keeps it in mind until the state of a run that ended by itself is elected.</summary>
    /// <exception cref="JobLockLostException">The run was cancelled because of the loss; its own exception says nothing of that.</exception>
    public void Remember(PerformedContext context, ILoggerFactory loggers)
    {
        // Also where the job threw: another filter may take that for handled.
        context.Items[ItemKey] = this;
        if (context.Exception is null || context.ExceptionHandled)
        {
            if (!context.Canceled) loggers.CreateLogger<JobLockAttribute>().EndedUnlocked(context.BackgroundJob.Id, handle.ToString(), handle.Key.Value);
            return;
        }

        // Without this wrapping it is Hangfire's own: the run was aborted, or ends with its server.
        if (context.Exception is not JobPerformanceException { InnerException: { } thrown }) return;
        if (thrown is OperationCanceledException) throw new JobLockLostException(Reason, thrown);

        Failures.AddOrUpdate(thrown, this);
    }

    /// <summary>Puts it into the state that a run is to end in. Asked again where Hangfire repeats the change.</summary>
    public static void Tell(ElectStateContext context)
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
