using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>
/// Writes down every notification of Quartz about triggers and jobs, one line each: the member, the keys, the outcome. The documented job
/// <c>joblocks.store</c> is left out: it belongs to the store and not to a run. Thread-safe.
/// </summary>
internal sealed class Heard : ITriggerListener, IJobListener, ISchedulerListener
{
    /// <summary>The job by which a store is told from others.</summary>
    public static readonly JobKey StoreJob = new("store", "joblocks");

    private readonly List<string> _lines = [];

    string ITriggerListener.Name => "heard";

    string IJobListener.Name => "heard";

    string ISchedulerListener.Name => "heard";

    /// <summary>Everything heard so far, in order.</summary>
    public IReadOnlyList<string> Lines
    {
        get
        {
            lock (_lines) return [.. _lines];
        }
    }

    public int Count(string member) => Lines.Count(line => line.StartsWith(member + " ", StringComparison.Ordinal));

    ValueTask ITriggerListener.TriggerFired(ITrigger trigger, IJobExecutionContext context, CancellationToken cancellationToken) =>
        Add("TriggerFired", trigger.Key, context.JobDetail.Key);

    ValueTask<bool> ITriggerListener.VetoJobExecution(ITrigger trigger, IJobExecutionContext context, CancellationToken cancellationToken)
    {
        Write("VetoJobExecution", trigger.Key, context.JobDetail.Key);
        return new(result: false);
    }

    ValueTask ITriggerListener.TriggerMisfired(ITrigger trigger, IScheduler scheduler, CancellationToken cancellationToken) =>
        Add("TriggerMisfired", trigger.Key);

    ValueTask ITriggerListener.TriggerSkipped(ITrigger trigger, IScheduler scheduler, CancellationToken cancellationToken) =>
        Add("TriggerSkipped", trigger.Key);

    ValueTask ITriggerListener.TriggerComplete(
        ITrigger trigger, IJobExecutionContext context, SchedulerInstruction triggerInstructionCode, CancellationToken cancellationToken) =>
        Add("TriggerComplete", trigger.Key, triggerInstructionCode);

    ValueTask ITriggerListener.TriggerRetriesExhausted(
        ITrigger trigger, IJobExecutionContext context, JobExecutionException exception, CancellationToken cancellationToken) =>
        Add("TriggerRetriesExhausted", trigger.Key, context.RetryAttempt);

    ValueTask IJobListener.JobToBeExecuted(IJobExecutionContext context, CancellationToken cancellationToken) =>
        Add("JobToBeExecuted", context.Trigger.Key, context.JobDetail.Key);

    ValueTask IJobListener.JobExecutionVetoed(IJobExecutionContext context, CancellationToken cancellationToken) =>
        Add("JobExecutionVetoed", context.Trigger.Key, context.JobDetail.Key);

    ValueTask IJobListener.JobWasExecuted(IJobExecutionContext context, JobExecutionException? jobException, CancellationToken cancellationToken) =>
        Add("JobWasExecuted", context.Trigger.Key, context.JobDetail.Key, context.Outcome, context.RetryAttempt);

    ValueTask IJobListener.JobProgressChanged(IJobExecutionContext context, FireInstanceProgress progress, CancellationToken cancellationToken) =>
        Add("JobProgressChanged", context.Trigger.Key, progress.Percent);

    ValueTask ISchedulerListener.JobScheduled(IScheduler scheduler, ITrigger trigger, CancellationToken cancellationToken) => Add("JobScheduled", trigger.Key);

    ValueTask ISchedulerListener.JobUnscheduled(IScheduler scheduler, TriggerKey triggerKey, CancellationToken cancellationToken) => Add("JobUnscheduled", triggerKey);

    ValueTask ISchedulerListener.TriggerFinalized(IScheduler scheduler, ITrigger trigger, CancellationToken cancellationToken) => Add("TriggerFinalized", trigger.Key);

    ValueTask ISchedulerListener.TriggerPaused(IScheduler scheduler, TriggerKey triggerKey, CancellationToken cancellationToken) => Add("TriggerPaused", triggerKey);

    ValueTask ISchedulerListener.TriggersPaused(IScheduler scheduler, string? triggerGroup, CancellationToken cancellationToken) => Add("TriggersPaused", triggerGroup);

    ValueTask ISchedulerListener.TriggerResumed(IScheduler scheduler, TriggerKey triggerKey, CancellationToken cancellationToken) => Add("TriggerResumed", triggerKey);

    ValueTask ISchedulerListener.TriggersResumed(IScheduler scheduler, string? triggerGroup, CancellationToken cancellationToken) => Add("TriggersResumed", triggerGroup);

    ValueTask ISchedulerListener.JobAdded(IScheduler scheduler, IJobDetail jobDetail, CancellationToken cancellationToken) => Add("JobAdded", jobDetail.Key);

    ValueTask ISchedulerListener.JobDeleted(IScheduler scheduler, JobKey jobKey, CancellationToken cancellationToken) => Add("JobDeleted", jobKey);

    ValueTask ISchedulerListener.JobPaused(IScheduler scheduler, JobKey jobKey, CancellationToken cancellationToken) => Add("JobPaused", jobKey);

    ValueTask ISchedulerListener.JobInterrupted(IScheduler scheduler, JobKey jobKey, string fireInstanceId, CancellationToken cancellationToken) => Add("JobInterrupted", jobKey);

    ValueTask ISchedulerListener.JobsPaused(IScheduler scheduler, string? jobGroup, CancellationToken cancellationToken) => Add("JobsPaused", jobGroup);

    ValueTask ISchedulerListener.JobResumed(IScheduler scheduler, JobKey jobKey, CancellationToken cancellationToken) => Add("JobResumed", jobKey);

    ValueTask ISchedulerListener.JobsResumed(IScheduler scheduler, string? jobGroup, CancellationToken cancellationToken) => Add("JobsResumed", jobGroup);

    ValueTask ISchedulerListener.SchedulerError(IScheduler scheduler, SchedulerErrorContext errorContext, CancellationToken cancellationToken) =>
        Add("SchedulerError", errorContext.TriggerKey, errorContext.JobKey);

    ValueTask ISchedulerListener.TriggerInError(IScheduler scheduler, TriggerKey triggerKey, CancellationToken cancellationToken) => Add("TriggerInError", triggerKey);

    ValueTask ISchedulerListener.TriggersInError(IScheduler scheduler, JobKey jobKey, CancellationToken cancellationToken) => Add("TriggersInError", jobKey);

    private ValueTask Add(string member, params object?[] about)
    {
        Write(member, about);
        return default;
    }

    private void Write(string member, params object?[] about)
    {
        if (about.Contains(StoreJob)) return;

        lock (_lines) _lines.Add($"{member} {string.Join(' ', about)}");
    }
}
