using JobLocks.Quartz.Entering;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Waiting;

/// <summary>
/// Handles the end of a retry while a later occurrence of its trigger is held under the trigger's own key. The store would clear the attempt number, which is
/// the mark of the held occurrence.
/// </summary>
internal static class OverlappingEnd
{
    /// <summary>The end as it must be written to the store.</summary>
    /// <param name="store">The store of the trigger.</param>
    /// <param name="ended">The end as the scheduler reports it.</param>
    /// <param name="run">The run that has ended.</param>
    /// <param name="stop">Cancels the read of the trigger.</param>
    public static async ValueTask<TriggeredJobCompleteContext> KeepMarkOfHeldAsync(this IJobStore store, TriggeredJobCompleteContext ended, FiredRun run, CancellationToken stop)
    {
        // Quartz plans no retry after the next occurrence. So if another retry follows, the next occurrence has not fired yet, and cannot be held.
        if (run.Attempt == 0 || run.KeepsMark || ended.Instruction == SchedulerInstruction.RetryTrigger) return ended;
        if (await store.GetTrigger(ended.Trigger.Key, stop).ConfigureAwait(false) is not { } stored || !HeldTrigger.HasMark(stored) || stored.NextFireTimeUtc is null) return ended;

        return new()
        {
            Trigger = HeldTrigger.WithoutUsedUpAttempts(ended.Trigger),
            JobDetail = ended.JobDetail,
            Instruction = ended.Instruction,
            Outcome = ended.Outcome,
            Exception = ended.Exception,
        };
    }
}
