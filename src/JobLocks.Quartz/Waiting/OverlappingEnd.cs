using JobLocks.Quartz.Entering;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Waiting;

/// <summary>
/// The end of a retry while a later occurrence of its trigger waits under the trigger's own key: the store would clear the attempt number, which is the
/// mark of the one that waits.
/// </summary>
internal static class OverlappingEnd
{
    /// <summary>What the store is to be told of the end.</summary>
    /// <param name="store">Has the trigger as it is.</param>
    /// <param name="ended">As the scheduler says it.</param>
    /// <param name="run">What has ended.</param>
    /// <param name="stop">Stops asking the store.</param>
    public static async ValueTask<TriggeredJobCompleteContext> BesideHeldAsync(this IJobStore store, TriggeredJobCompleteContext ended, FiredRun run, CancellationToken stop)
    {
        // A further retry never comes after the next occurrence.
        if (run.Attempt == 0 || run.KeepsMark || ended.Instruction == SchedulerInstruction.RetryTrigger) return ended;
        if (await store.GetTrigger(ended.Trigger.Key, stop).ConfigureAwait(false) is not { } stored || !HeldTrigger.Is(stored) || stored.NextFireTimeUtc is null) return ended;

        return new()
        {
            Trigger = HeldTrigger.WithoutEnd(ended.Trigger),
            JobDetail = ended.JobDetail,
            Instruction = ended.Instruction,
            Outcome = ended.Outcome,
            Exception = ended.Exception,
        };
    }
}
