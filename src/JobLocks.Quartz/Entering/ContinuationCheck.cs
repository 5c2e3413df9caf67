using Microsoft.Extensions.Logging;
using Quartz;

namespace JobLocks.Quartz.Entering;

/// <summary>
/// Warns of triggers that continue after a job with a lock, in a scheduler that was built without JobLocks. There a run that waits is vetoed. Quartz treats
/// the veto as the end of the run, and starts or cancels the triggers that continue after the run. Thread-safe.
/// </summary>
internal sealed class ContinuationCheck(ILogger log)
{
    /// <summary>Checks every trigger that waits for the end of another one.</summary>
    public async ValueTask CheckAllAsync(IScheduler scheduler)
    {
        try
        {
            var awaiting = await scheduler.QueryTriggers(new() { State = TriggerState.Awaiting, Take = PagedQuery.All }, CancellationToken.None).ConfigureAwait(false);
            foreach (var header in awaiting.Items)
            {
                if (header.ContinuesAfter is { } parent) await CheckAsync(scheduler, header.Key, parent).ConfigureAwait(false);
            }
        }
        catch (Exception unknown)
        {
            // The check only logs a warning, so its own error is only logged too.
            log.CannotCheckContinuations(scheduler.SchedulerName, unknown);
        }
    }

    /// <summary>Checks one trigger.</summary>
    public async ValueTask CheckAsync(IScheduler scheduler, TriggerKey key, TriggerKey parent)
    {
        try
        {
            if (await scheduler.GetTrigger(parent, CancellationToken.None).ConfigureAwait(false) is not { } parentTrigger) return;
            if (await scheduler.GetJobDetail(parentTrigger.JobKey, CancellationToken.None).ConfigureAwait(false) is not { } job) return;

            if (QuartzJobCall.Of(job, parentTrigger.JobDataMap) is not null) log.ContinuesVetoed(key.ToString(), parent.ToString(), job.Key.ToString());
        }
        catch (Exception unknown)
        {
            log.CannotCheckContinuation(key.ToString(), unknown);
        }
    }
}
