using JobLocks.Gate;
using Microsoft.Extensions.Logging;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz;

/// <summary>
/// Puts a refused run back into the job store: a trigger of its own that fires once. The run's own trigger is never touched,
/// or a repeating schedule would be replaced by a single occurrence.
/// </summary>
internal sealed class Rescheduling(ILogger log)
{
    public const string Group = "joblocks";

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

    /// <summary>Puts the run back. Waits for a store that cannot be reached, since the run would be lost otherwise.</summary>
    public async ValueTask<Outcome> PutBackAsync(IJobExecutionContext context, Admission.Refused refusal)
    {
        var scheduler = context.Scheduler;
        var jobId = QuartzJobCall.IdOf(context);
        var next = OneOff(context, refusal);
        var wasAway = false;
        for (var pause = FirstPause; ; pause = pause * 2 < LongestPause ? pause * 2 : LongestPause)
        {
            try
            {
                if (wasAway && await WasTidiedAwayAsync(scheduler, context.JobDetail).ConfigureAwait(false))
                    await scheduler.ScheduleJob(context.JobDetail, next, cancellationToken: CancellationToken.None).ConfigureAwait(false);
                else
                    await scheduler.ScheduleJob(next, cancellationToken: CancellationToken.None).ConfigureAwait(false);
                log.Rescheduled(jobId, next.StartTimeUtc, next.Key.ToString(), refusal.Reason);
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

    private static ITrigger OneOff(IJobExecutionContext context, Admission.Refused refusal)
    {
        var refused = context.Trigger;
        var data = new JobDataMap((IDictionary<string, object?>)refused.JobDataMap);
        // A text, since a store may keep nothing else.
        if (QuartzJobCall.WasStartedBefore(context)) data[DataKeys.StartedBefore] = "true";

        var trigger = TriggerBuilder.Create(context.Scheduler.TimeProvider)
            .WithIdentity(Guid.NewGuid().ToString("N"), Group)
            .WithDescription(refusal.Reason)
            .ForJob(refused.JobKey)
            .UsingJobData(data)
            .WithPriority(refused.Priority)
            .WithExecutionGroup(Literally(refused.ExecutionGroup))
            .WithPreferredNode(refused.PreferredNode)
            .WithRetryPolicy(refused.RetryPolicy)
            .StartAt(context.Scheduler.TimeProvider.GetUtcNow() + refusal.RetryAfter)
            .Build();

        // A refusal neither uses up a retry nor gives one back.
        if (trigger is IMutableTrigger counting) counting.RetryAttempt = context.RetryAttempt;
        return trigger;
    }

    /// <summary>The group is a result already: braces in it are no template any more.</summary>
    private static string? Literally(string? group) =>
        group?.Replace("{", "{{", StringComparison.Ordinal).Replace("}", "}}", StringComparison.Ordinal);

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
