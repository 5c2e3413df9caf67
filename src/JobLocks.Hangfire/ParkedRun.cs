using Hangfire.Server;
using Hangfire.States;
using Hangfire.Storage;
using Microsoft.Extensions.Logging;

namespace JobLocks.Hangfire;

/// <summary>
/// Parks a run that is put off. Its state is changed here and not left to the worker, which would write down that the run was deleted.
/// </summary>
internal static class ParkedRun
{
    // Hangfire's own lock on a job, which nobody holds for long.
    private static readonly TimeSpan StateLockTimeout = TimeSpan.FromSeconds(5);

    /// <summary>Parks it.</summary>
    /// <returns>False where that must be left to the worker: nothing has changed.</returns>
    public static bool TryPark(PerformContext context, RefusedRun refused)
    {
        if (FetchedRun.Of(context) is not { } run) return false;

        using var outside = AmbientTransaction.Leave();
        var log = refused.Gate.Loggers.CreateLogger<JobLockAttribute>();
        try
        {
            // One that was deleted or fetched by another worker meanwhile is no longer ours; a sweep takes its place away.
            if (!TryChange(context, run, refused.NextState)) return true;
        }
        catch (Exception broken)
        {
            log.CannotPark(context.BackgroundJob.Id, broken);
            return false;
        }

        if (refused.Place is not { } place) return true;

        try
        {
            refused.Gate.Parked(place);
        }
        catch (Exception broken)
        {
            // A sweep asks the storage.
            log.CannotTellLine(context.BackgroundJob.Id, broken);
        }

        return true;
    }

    private static bool TryChange(PerformContext context, FetchedRun run, IState parked)
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
