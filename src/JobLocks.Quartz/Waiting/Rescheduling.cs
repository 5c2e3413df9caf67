using System.Globalization;
using JobLocks.Diagnostics;
using JobLocks.Gate;
using JobLocks.Quartz.Entering;
using Microsoft.Extensions.Logging;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Waiting;

/// <summary>
/// Puts a refused run back into the job store: a trigger of its own that fires once. The run's own trigger is never touched,
/// or a repeating schedule would be replaced by a single occurrence.
/// </summary>
internal sealed class Rescheduling(ILogger log)
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);

    internal enum Outcome
    {
        /// <summary>The store has the new trigger.</summary>
        Done,

        /// <summary>The job was deleted meanwhile: there is nothing to run any more.</summary>
        JobIsGone,

        /// <summary>The scheduler is shutting down and takes no triggers any more.</summary>
        ShuttingDown,
    }

    /// <summary>
    /// Puts a refused run back. Waits for a store that cannot be reached, since the run would be lost otherwise. One that stands in the line keeps
    /// its name, and with it its place.
    /// </summary>
    public ValueTask<Outcome> PutBackAsync(IJobExecutionContext context, Admission.Refused refusal) =>
        StoreAsync(context, OneOff(context, DataOf(context), QuartzJobCall.ParkedNameOf(context) ?? Guid.NewGuid().ToString("N"), refusal.Reason, refusal.RetryAfter));

    /// <summary>Parks a run that waits in the line, as <see cref="PutBackAsync"/> does. Its trigger has the name under which the line knows it.</summary>
    public ValueTask<Outcome> ParkAsync(IJobExecutionContext context, Admission.Waits waits)
    {
        var data = DataOf(context);
        // It is woken for the time at which it was due, or those that were due later would come first. The first of several refusals counts.
        if (!data.ContainsKey(DataKeys.DueAt)) data[DataKeys.DueAt] = (context.ScheduledFireTimeUtc ?? context.FireTimeUtc).ToString("O", CultureInfo.InvariantCulture);
        return StoreAsync(context, OneOff(context, data, waits.Address.Run, waits.Reason, waits.AtMost), waits: true);
    }

    private async ValueTask<Outcome> StoreAsync(IJobExecutionContext context, ITrigger next, bool waits = false)
    {
        var scheduler = context.Scheduler;
        var jobId = QuartzJobCall.IdOf(context);
        var wasAway = false;
        using var store = LockTraces.Store(QuartzJobCall.TraceIn(context.Trigger.JobDataMap));
        for (var pause = FirstPause; ; pause = pause * 2 < LongestPause ? pause * 2 : LongestPause)
        {
            try
            {
                // Parked once more, it keeps its name and with it its place. The store leaves a trigger alone that has a new time when its firing ends.
                if (next.Key.Equals(context.Trigger.Key) && await scheduler.RescheduleJob(next.Key, next, CancellationToken.None).ConfigureAwait(false) is not null)
                    return Outcome.Done;
                if (wasAway && await WasTidiedAwayAsync(scheduler, context.JobDetail).ConfigureAwait(false))
                    await scheduler.ScheduleJob(context.JobDetail, next, cancellationToken: CancellationToken.None).ConfigureAwait(false);
                else
                    await scheduler.ScheduleJob(next, cancellationToken: CancellationToken.None).ConfigureAwait(false);
                // Of one that waits in line, the gate has said so: its time is only the last resort.
                if (!waits) log.Rescheduled(jobId, next.StartTimeUtc, next.Key.ToString(), next.Description!);
                return Outcome.Done;
            }
            catch (ObjectAlreadyExistsException)
            {
                // An earlier try was stored, but its answer was lost on the way: the key is unique, so it is ours.
                return Outcome.Done;
            }
            catch (Exception broken)
            {
                if (scheduler.Status is SchedulerStatus.ShuttingDown or SchedulerStatus.Shutdown) return Outcome.ShuttingDown;
                if ((!wasAway || context.JobDetail.Durable) && await IsGoneAsync(scheduler, context.JobDetail.Key).ConfigureAwait(false)) return Outcome.JobIsGone;

                wasAway = true;
                log.CannotReschedule(jobId, pause.TotalSeconds, broken);
            }

            await Task.Delay(pause, scheduler.TimeProvider, CancellationToken.None).ConfigureAwait(false);
        }
    }

    private static JobDataMap DataOf(IJobExecutionContext context)
    {
        var data = new JobDataMap((IDictionary<string, object?>)context.Trigger.JobDataMap);
        // A text, since a store may keep nothing else.
        if (QuartzJobCall.WasStartedBefore(context)) data[DataKeys.StartedBefore] = "true";
        return data;
    }

    private static ITrigger OneOff(IJobExecutionContext context, JobDataMap data, string name, string reason, TimeSpan after)
    {
        var refused = context.Trigger;
        var trigger = TriggerBuilder.Create(context.Scheduler.TimeProvider)
            .WithIdentity(name, StandIn.Group)
            .WithDescription(reason)
            .ForJob(refused.JobKey)
            .UsingJobData(data)
            .WithPriority(refused.Priority)
            .WithExecutionGroup(StandIn.Literally(refused.ExecutionGroup))
            .WithPreferredNode(refused.PreferredNode)
            .WithRetryPolicy(refused.RetryPolicy)
            .StartAt(context.Scheduler.TimeProvider.GetUtcNow() + after)
            .Build();

        // A refusal neither uses up a retry nor gives one back. A trigger that another node held has its mark in the same number.
        if (trigger is IMutableTrigger counting) counting.RetryAttempt = HeldTrigger.AttemptOf(refused);
        return trigger;
    }

    /// <summary>
    /// While the store was away, other nodes may have taken this one for dead, and a job that was not durable went with its trigger.
    /// </summary>
    private static async ValueTask<bool> WasTidiedAwayAsync(IScheduler scheduler, IJobDetail job) =>
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
