using Hangfire.Server;
using Hangfire.States;
using Hangfire.Storage;
using Microsoft.Extensions.Logging;

namespace JobLocks.Hangfire;

/// <summary>Parks a refused run that starts later. Changes the state itself, because the worker would first record the job as deleted.</summary>
internal static class ParkedRun
{
    // The timeout for Hangfire's own lock on a job, which is held only for a short time.
    private static readonly TimeSpan StateLockTimeout = TimeSpan.FromSeconds(5);

    /// <summary>Moves the job to its next state, and marks its queue entry as parked.</summary>
    /// <returns>False if the worker must change the state. Nothing has changed then.</returns>
    public static bool TryPark(PerformContext context, RefusedRun refused)
    {
        if (FetchedRun.Of(context) is not { } run) return false;

        using var noTransaction = AmbientTransaction.Suppress();
        var log = refused.Gate.Loggers.CreateLogger<JobLockAttribute>();
        try
        {
            // If the job was deleted or fetched by another worker meanwhile, this run no longer decides its state. A sweep removes the queue entry.
            if (!TryChange(context, run, refused.NextState)) return true;
        }
        catch (Exception broken)
        {
            log.CannotPark(context.BackgroundJob.Id, broken);
            return false;
        }

        if (refused.Entry is not { } entry) return true;

        try
        {
            refused.Gate.MarkParked(entry);
        }
        catch (Exception broken)
        {
            // The entry stays unmarked. A sweep asks the storage and corrects it.
            log.CannotMarkParked(context.BackgroundJob.Id, broken);
        }

        return true;
    }

    private static bool TryChange(PerformContext context, FetchedRun run, IState parked)
    {
        var job = context.BackgroundJob;
        using var connection = context.Storage.GetConnection();
        using var jobLock = connection.AcquireDistributedJobLock(job.Id, StateLockTimeout);
        if (!run.IsStillProcessing(connection.GetStateData(job.Id))) return false;

        using var transaction = connection.CreateWriteTransaction();
        run.States.ApplyState(new(context.Storage, connection, transaction, job, parked, ProcessingState.StateName));
        transaction.Commit();
        return true;
    }
}
