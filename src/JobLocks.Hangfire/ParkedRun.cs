using Hangfire.Server;
using Hangfire.States;
using Hangfire.Storage;
using JobLocks.Gate;
using Microsoft.Extensions.Logging;

namespace JobLocks.Hangfire;

/// <summary>
/// Parks a run that waits in the line. Its state is changed here and not left to the worker, which would write down that the run was deleted.
/// </summary>
internal static class ParkedRun
{
    // Hangfire's own lock on a job, which nobody holds for long.
    private static readonly TimeSpan StateLockTimeout = TimeSpan.FromSeconds(5);

    /// <summary>The state of a run that waits. Its time is the last resort, should nobody be left to wake it.</summary>
    public static ScheduledState StateOf(Admission.Waits waits) => new(waits.AtMost) { Reason = waits.Reason };

    /// <summary>Parks it.</summary>
    /// <returns>False where that must be left to the worker: nothing has changed.</returns>
    public static bool TryPark(PerformContext context, Admission.Waits waits, JobGate gate)
    {
        if (FetchedRun.Of(context) is not { } run) return false;

        var log = gate.Loggers.CreateLogger<JobLockAttribute>();
        try
        {
            // One that was deleted or fetched by another worker meanwhile is no longer ours; a sweep takes its place away.
            if (!TryChange(context, run, StateOf(waits))) return true;
        }
        catch (Exception broken)
        {
            log.CannotPark(context.BackgroundJob.Id, broken);
            return false;
        }

        try
        {
            gate.Parked(waits.Place);
        }
        catch (Exception broken)
        {
            // A sweep asks the storage.
            log.CannotTellLine(context.BackgroundJob.Id, broken);
        }

        return true;
    }

    private static bool TryChange(PerformContext context, FetchedRun run, ScheduledState parked)
    {
        var job = context.BackgroundJob;
        using var connection = context.Storage.GetConnection();
        using var turn = connection.AcquireDistributedJobLock(job.Id, StateLockTimeout);
        if (!run.IsIn(connection.GetStateData(job.Id))) return false;

        using var transaction = connection.CreateWriteTransaction();
        run.States.ApplyState(new(context.Storage, connection, transaction, job, parked, ProcessingState.StateName));
        transaction.Commit();
        return true;
    }
}
