using Microsoft.Extensions.Logging;
using Quartz;

namespace JobLocks.Quartz.Entering;

/// <summary>
/// Warns of triggers that start after a job with a lock, in a scheduler that was built without us: there a run that is put off is vetoed, and the veto
/// settles what waits for its end. Thread-safe.
/// </summary>
internal sealed class ContinuationCheck(ILogger log)
{
    /// <summary>Looks at every trigger that waits for another one.</summary>
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
            // Only a hint would have come of it.
            log.CannotLookAtContinuation("of the store", unknown);
        }
    }

    /// <summary>Looks at one trigger.</summary>
    public async ValueTask CheckAsync(IScheduler scheduler, TriggerKey key, TriggerKey parent)
    {
        try
        {
            if (await scheduler.GetTrigger(parent, CancellationToken.None).ConfigureAwait(false) is not { } before) return;
            if (await scheduler.GetJobDetail(before.JobKey, CancellationToken.None).ConfigureAwait(false) is not { } job) return;

            if (QuartzJobCall.Of(job, before.JobDataMap) is not null) log.ContinuesVetoed(key.ToString(), parent.ToString(), job.Key.ToString());
        }
        catch (Exception unknown)
        {
            log.CannotLookAtContinuation(key.ToString(), unknown);
        }
    }
}
