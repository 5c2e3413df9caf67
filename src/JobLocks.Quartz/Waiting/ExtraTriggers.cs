using System.Globalization;
using JobLocks.Diagnostics;
using JobLocks.Gate;
using JobLocks.Quartz.Entering;
using Microsoft.Extensions.Logging;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Waiting;

/// <summary>
/// For a scheduler that was built without JobLocks: puts a refused run back into the job store, as an additional trigger that fires once. The original trigger
/// is never changed, because a repeating schedule would be replaced by a single occurrence.
/// </summary>
internal sealed class ExtraTriggers(ILogger log)
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);

    internal enum Outcome
    {
        /// <summary>The store has the new trigger.</summary>
        Done,

        /// <summary>The job was deleted meanwhile, so there is nothing to run.</summary>
        JobIsGone,

        /// <summary>The scheduler is shutting down and accepts no triggers.</summary>
        ShuttingDown,
    }

    /// <summary>
    /// Puts a refused run back. Waits while the store cannot be reached, because the run would be lost otherwise. A run with a queue entry keeps
    /// its name, and so its entry number.
    /// </summary>
    public ValueTask<Outcome> PutBackAsync(IJobExecutionContext context, Admission.Refused refusal) =>
        StoreAsync(context, OneTimeTrigger(context, DataOf(context), QuartzJobCall.ParkedNameOf(context) ?? Guid.NewGuid().ToString("N"), refusal.Reason, refusal.RetryAfter));

    /// <summary>Parks a waiting run, as <see cref="PutBackAsync"/> does. The name of its trigger is the name in its queue entry.</summary>
    public ValueTask<Outcome> ParkAsync(IJobExecutionContext context, Admission.Waits waits)
    {
        var data = DataOf(context);
        // The wake uses the original due time, or runs that were due later would start first. After several refusals, the first due time counts.
        if (!data.ContainsKey(DataKeys.DueAt)) data[DataKeys.DueAt] = (context.ScheduledFireTimeUtc ?? context.FireTimeUtc).ToString("O", CultureInfo.InvariantCulture);
        return StoreAsync(context, OneTimeTrigger(context, data, waits.Address.Run, waits.Reason, waits.StartsUnwokenAfter), waits: true);
    }

    private async ValueTask<Outcome> StoreAsync(IJobExecutionContext context, ITrigger trigger, bool waits = false)
    {
        var scheduler = context.Scheduler;
        var jobId = QuartzJobCall.IdOf(context);
        var wasUnreachable = false;
        using var store = LockTraces.BeginStoring(QuartzJobCall.TraceIn(context.Trigger.JobDataMap));
        for (var pause = FirstPause; ; pause = pause * 2 < LongestPause ? pause * 2 : LongestPause)
        {
            try
            {
                // A run that is parked again keeps its name, and so its entry number. At the end of the firing, the store does not change a trigger that has a
                // new time.
                if (trigger.Key.Equals(context.Trigger.Key) && await scheduler.RescheduleJob(trigger.Key, trigger, CancellationToken.None).ConfigureAwait(false) is not null)
                    return Outcome.Done;
                if (wasUnreachable && await WasRemovedByOthersAsync(scheduler, context.JobDetail).ConfigureAwait(false))
                    await scheduler.ScheduleJob(context.JobDetail, trigger, cancellationToken: CancellationToken.None).ConfigureAwait(false);
                else
                    await scheduler.ScheduleJob(trigger, cancellationToken: CancellationToken.None).ConfigureAwait(false);
                // The gate has logged a waiting run. The time of its trigger is only the last resort.
                if (!waits) log.Rescheduled(jobId, trigger.StartTimeUtc, trigger.Key.ToString(), trigger.Description!);
                return Outcome.Done;
            }
            catch (ObjectAlreadyExistsException)
            {
                // An earlier try was stored, but its answer was lost. The key is unique, so the stored trigger is this one.
                return Outcome.Done;
            }
            catch (Exception broken)
            {
                if (scheduler.Status is SchedulerStatus.ShuttingDown or SchedulerStatus.Shutdown) return Outcome.ShuttingDown;
                if ((!wasUnreachable || context.JobDetail.Durable) && await IsGoneAsync(scheduler, context.JobDetail.Key).ConfigureAwait(false)) return Outcome.JobIsGone;

                wasUnreachable = true;
                log.CannotReschedule(jobId, pause.TotalSeconds, broken);
            }

            await Task.Delay(pause, scheduler.TimeProvider, CancellationToken.None).ConfigureAwait(false);
        }
    }

    private static JobDataMap DataOf(IJobExecutionContext context)
    {
        var data = new JobDataMap((IDictionary<string, object?>)context.Trigger.JobDataMap);
        // Stored as text, because some stores keep only text.
        if (QuartzJobCall.WasStartedBefore(context)) data[DataKeys.StartedBefore] = "true";
        return data;
    }

    private static ITrigger OneTimeTrigger(IJobExecutionContext context, JobDataMap data, string name, string reason, TimeSpan after)
    {
        var refused = context.Trigger;
        var trigger = TriggerBuilder.Create(context.Scheduler.TimeProvider)
            .WithIdentity(name, StandIn.Group)
            .WithDescription(reason)
            .ForJob(refused.JobKey)
            .UsingJobData(data)
            .WithPriority(refused.Priority)
            .WithExecutionGroup(StandIn.EscapeTemplate(refused.ExecutionGroup))
            .WithPreferredNode(refused.PreferredNode)
            .WithRetryPolicy(refused.RetryPolicy)
            .StartAt(context.Scheduler.TimeProvider.GetUtcNow() + after)
            .Build();

        // A refusal does not change the number of used retries. AttemptOf removes the mark of a trigger that another node has held.
        if (trigger is IMutableTrigger counting) counting.RetryAttempt = HeldTrigger.AttemptOf(refused);
        return trigger;
    }

    /// <summary>
    /// Whether a job that is not durable was deleted with its trigger. While the store was unreachable, other nodes may have considered this one failed and
    /// deleted both.
    /// </summary>
    private static async ValueTask<bool> WasRemovedByOthersAsync(IScheduler scheduler, IJobDetail job) =>
        !job.Durable && !await scheduler.Exists(job.Key, CancellationToken.None).ConfigureAwait(false);

    private static async ValueTask<bool> IsGoneAsync(IScheduler scheduler, JobKey job)
    {
        try
        {
            return !await scheduler.Exists(job, CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception broken) when (broken is not OutOfMemoryException)
        {
            return false;
        }
    }
}
