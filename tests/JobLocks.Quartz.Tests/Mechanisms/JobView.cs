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
        var stored = await scheduler.GetTrigger(trigger.Key);
        return
        [
            $"Trigger {trigger.Key} of {trigger.JobKey}: {trigger.Description}, {trigger.GetType().Name}",
            $"Priority {trigger.Priority}, group {trigger.ExecutionGroup}, node {trigger.PreferredNode}, calendar {trigger.CalendarName}",
            $"Retry {trigger.RetryPolicy}, attempt {trigger.RetryAttempt}, policy {context.RetryPolicy}",
            $"Overlap {trigger.OverlapPolicy}, continuation {trigger.Continuation}, misfire {trigger.MisfireInstructionCode} {trigger.MisfireThreshold}",
            $"Start {Text(trigger.StartTimeUtc)}, end {Text(trigger.EndTimeUtc)}, final {Text(trigger.FinalFireTimeUtc)}, again {trigger.MayFireAgain}",
            $"Trigger times {Text(trigger.PreviousFireTimeUtc)} {Text(trigger.NextFireTimeUtc)}",
            $"Trigger data {Text(trigger.JobDataMap)}",
            $"Context times {Text(context.PreviousFireTimeUtc)} {Text(context.ScheduledFireTimeUtc)} {Text(context.NextFireTimeUtc)}",
            $"Context counts {context.RetryAttempt} {context.RefireCount} {context.RetryScheduled} {context.Outcome}",
            $"Recovering {context.Recovering} {(context.Recovering ? context.RecoveringTriggerKey : null)}",
            $"Calendar {context.Calendar?.Description}",
            $"Merged data {Text(context.MergedJobDataMap)}",
            $"Job {job.Key} {job.Description} {job.Durable} {job.RequestsRecovery} {job.ConcurrentExecutionDisallowed} {job.PersistJobDataAfterExecution}",
            $"Job data {Text(job.JobDataMap)}",
            $"Exists {await scheduler.Exists(trigger.Key)} {await scheduler.Exists(job.Key)}, state {await scheduler.GetTriggerState(trigger.Key)}",
            $"Stored {stored?.GetType().Name} {Text(stored?.PreviousFireTimeUtc)} {Text(stored?.NextFireTimeUtc)} {stored?.Description}",
            $"Triggers of the job {string.Join(' ', (await scheduler.GetTriggersOfJob(job.Key)).Select(static other => other.Key))}",
            .. await SurroundingsAsync(scheduler),
        ];
    }

    /// <summary>What stands in the store beside the run.</summary>
    public static async Task<IReadOnlyList<string>> SurroundingsAsync(IScheduler scheduler)
    {
        var triggers = await scheduler.QueryTriggers(new());
        return
        [
            $"All triggers {string.Join(", ", triggers.Items.Select(static trigger => $"{trigger.Key} {trigger.State} {Text(trigger.NextFireTimeUtc)}").Order(StringComparer.Ordinal))}",
            $"All jobs {string.Join(' ', (await scheduler.QueryJobs(new())).Items.Select(static job => job.Key).Where(static job => !job.Equals(Heard.StoreJob)).Select(static job => job.ToString()).Order(StringComparer.Ordinal))}",
            $"All groups {string.Join(' ', (await scheduler.GetTriggerGroupNames()).Order(StringComparer.Ordinal))}",
        ];
    }

    private static string Text(DateTimeOffset? time) => time?.ToString("O", CultureInfo.InvariantCulture) ?? "never";

    /// <summary>A trace differs from one call to the next.</summary>
    private static string Text(JobDataMap data) => string.Join(' ', data
        .Where(static entry => entry.Key is not (Scene.Key or SchedulerConstants.TraceParent or SchedulerConstants.TraceState))
        .OrderBy(static entry => entry.Key, StringComparer.Ordinal)
        .Select(static entry => string.Create(CultureInfo.InvariantCulture, $"{entry.Key}={entry.Value}")));
}
