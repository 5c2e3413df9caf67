using System.Globalization;
using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>All that a job can learn of itself from its context and from the scheduler, as lines that can be compared.</summary>
internal static class JobView
{
    public static async Task<IReadOnlyList<string>> TakeAsync(IJobExecutionContext context)
    {
        var (trigger, job, scheduler) = (context.Trigger, context.JobDetail, context.Scheduler);
        var (stored, start) = (await scheduler.GetTrigger(trigger.Key), trigger.StartTimeUtc);
        return
        [
            $"Trigger {trigger.Key} of {trigger.JobKey}: {trigger.Description}, {trigger.GetType().Name}",
            $"Priority {trigger.Priority}, group {trigger.ExecutionGroup}, node {trigger.PreferredNode}, calendar {trigger.CalendarName}",
            $"Retry {trigger.RetryPolicy}, attempt {trigger.RetryAttempt}, policy {context.RetryPolicy}",
            $"Overlap {trigger.OverlapPolicy}, continuation {trigger.Continuation}, misfire {trigger.MisfireInstructionCode} {trigger.MisfireThreshold}",
            $"Start {Text(trigger.StartTimeUtc, start)}, end {Text(trigger.EndTimeUtc, start)}, final {Text(trigger.FinalFireTimeUtc, start)}, again {trigger.MayFireAgain}",
            $"Trigger times {Text(trigger.PreviousFireTimeUtc, start)} {Text(trigger.NextFireTimeUtc, start)}",
            $"Trigger data {Text(trigger.JobDataMap)}",
            $"Context times {Text(context.PreviousFireTimeUtc, start)} {Text(context.ScheduledFireTimeUtc, start)} {Text(context.NextFireTimeUtc, start)}",
            $"Context counts {context.RetryAttempt} {context.RefireCount} {context.RetryScheduled} {context.Outcome}",
            $"Recovering {context.Recovering} {(context.Recovering ? context.RecoveringTriggerKey : null)}",
            $"Calendar {context.Calendar?.Description}",
            $"Merged data {Text(context.MergedJobDataMap)}",
            $"Job {job.Key} {job.Description} {job.Durable} {job.RequestsRecovery} {job.ConcurrentExecutionDisallowed} {job.PersistJobDataAfterExecution}",
            $"Job data {Text(job.JobDataMap)}",
            $"Exists {await scheduler.Exists(trigger.Key)} {await scheduler.Exists(job.Key)}, state {await scheduler.GetTriggerState(trigger.Key)}",
            $"Stored {stored?.GetType().Name} {Text(stored?.PreviousFireTimeUtc, start)} {Text(stored?.NextFireTimeUtc, start)} {stored?.Description}",
            $"Triggers of the job {string.Join(' ', (await scheduler.GetTriggersOfJob(job.Key)).Select(static other => other.Key))}",
            .. await SurroundingsAsync(scheduler, start),
        ];
    }

    /// <summary>What stands in the store beside the run.</summary>
    public static async Task<IReadOnlyList<string>> SurroundingsAsync(IScheduler scheduler, DateTimeOffset? start = null)
    {
        var triggers = await scheduler.QueryTriggers(new());
        return
        [
            $"All triggers {string.Join(", ", triggers.Items.Select(trigger => $"{trigger.Key} {trigger.State} {(start is { } from ? Text(trigger.NextFireTimeUtc, from) : Text(trigger.NextFireTimeUtc))}").Order(StringComparer.Ordinal))}",
            $"All jobs {string.Join(' ', (await scheduler.QueryJobs(new())).Items.Select(static job => job.Key).Where(static job => !job.Equals(Heard.StoreJob)).Select(static job => job.ToString()).Order(StringComparer.Ordinal))}",
            $"All groups {string.Join(' ', (await scheduler.GetTriggerGroupNames()).Order(StringComparer.Ordinal))}",
        ];
    }

    private static string Text(DateTimeOffset? time) => time?.ToString("O", CultureInfo.InvariantCulture) ?? "never";

    /// <summary>Two triggers that start now do not start at the same moment.</summary>
    private static string Text(DateTimeOffset? time, DateTimeOffset start) => (time - start)?.ToString("c", CultureInfo.InvariantCulture) ?? "never";

    /// <summary>A trace differs from one call to the next.</summary>
    private static string Text(JobDataMap data) => string.Join(' ', data
        .Where(static entry => entry.Key is not (Scene.Key or SchedulerConstants.TraceParent or SchedulerConstants.TraceState))
        .OrderBy(static entry => entry.Key, StringComparer.Ordinal)
        .Select(static entry => string.Create(CultureInfo.InvariantCulture, $"{entry.Key}={entry.Value}")));
}
