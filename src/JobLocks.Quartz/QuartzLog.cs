using Microsoft.Extensions.Logging;

namespace JobLocks.Quartz;

/// <summary>Log messages of the Quartz adapter, with ids from 320 to 339, and from 350. The gate logs refusals.</summary>
internal static partial class QuartzLog
{
    [LoggerMessage(320, LogLevel.Information, "Job {JobId} is rescheduled to {RetryAt:u} by trigger {TriggerKey}. {Reason}")]
    public static partial void Rescheduled(this ILogger log, string jobId, DateTimeOffset retryAt, string triggerKey, string reason);

    [LoggerMessage(321, LogLevel.Warning, "Job {JobId} waits or is rescheduled, but its trigger could not be written to the job store: the run can be lost if this node stops now. Next try in {Pause} s")]
    public static partial void CannotReschedule(this ILogger log, string jobId, double pause, Exception cause);

    [LoggerMessage(322, LogLevel.Information, "Job {JobId} is not rescheduled: the job was deleted meanwhile. {Reason}")]
    public static partial void JobIsGone(this ILogger log, string jobId, string reason);

    [LoggerMessage(324, LogLevel.Error, "Job {JobId} could not be put back into the job store before the scheduler shut down: the run is lost, unless Quartz recovers it. {Reason}")]
    public static partial void Dropped(this ILogger log, string jobId, string reason);

    [LoggerMessage(325, LogLevel.Error, "Job {JobId} fails before it has begun")]
    public static partial void Failed(this ILogger log, string jobId, Exception cause);

    [LoggerMessage(326, LogLevel.Error, "Job {JobId} is rescheduled: its lock request failed")]
    public static partial void Broke(this ILogger log, string jobId, Exception cause);

    [LoggerMessage(327, LogLevel.Error, "Job {JobId} is told to stop: its lock {LockName} ({LockKey}) is lost")]
    public static partial void Interrupting(this ILogger log, string jobId, string lockName, long lockKey);

    [LoggerMessage(328, LogLevel.Error, "Job {JobId} could not be told to stop")]
    public static partial void CannotInterrupt(this ILogger log, string jobId, Exception cause);

    [LoggerMessage(329, LogLevel.Warning, "The scheduler listener {Listener} threw when it was told that job {JobId} failed")]
    public static partial void ListenerThrew(this ILogger log, string listener, string jobId, Exception cause);

    [LoggerMessage(331, LogLevel.Warning, "Job {JobId} is parked, but its queue entry could not be updated: a sweep does it")]
    public static partial void CannotMarkParked(this ILogger log, string jobId, Exception cause);

    [LoggerMessage(332, LogLevel.Warning, "The job store of {Scheduler} could not be asked for its name: its runs cannot enter the wait queue yet")]
    public static partial void CannotIdentify(this ILogger log, string scheduler, Exception cause);

    [LoggerMessage(330, LogLevel.Error, "Job {JobKey} was added, but none of its runs will begin")]
    public static partial void AddedWithBrokenRule(this ILogger log, string jobKey, Exception cause);

    [LoggerMessage(333, LogLevel.Debug, "It could not be checked whether the run that created job {JobKey} holds the lock that the job needs")]
    public static partial void CannotCheckSelfWait(this ILogger log, string jobKey, Exception cause);

    [LoggerMessage(334, LogLevel.Information, "Job {JobId} waited and does not run any more: {Reason}")]
    public static partial void Over(this ILogger log, string jobId, string reason);

    [LoggerMessage(335, LogLevel.Error, "The job store could not be updated for a run that does not begin")]
    public static partial void CannotUpdateStore(this ILogger log, Exception cause);

    [LoggerMessage(336, LogLevel.Warning, "Trigger {TriggerKey} starts after {Parent}, whose job {JobId} has a lock: if its run has to wait, Quartz treats the veto as the end of the run and starts the trigger. "
        + "Call quartz.UseJobLocks(…) where the scheduler is built")]
    public static partial void ContinuesVetoed(this ILogger log, string triggerKey, string parent, string jobId);

    [LoggerMessage(337, LogLevel.Debug, "Whether trigger {TriggerKey} starts after a job with a lock is not known")]
    public static partial void CannotCheckContinuation(this ILogger log, string triggerKey, Exception cause);

    [LoggerMessage(338, LogLevel.Warning, "The scheduler could not be told of a run that another node has woken for it: its next poll of the job store finds the run")]
    public static partial void CannotRequery(this ILogger log, Exception cause);

    [LoggerMessage(339, LogLevel.Error, "The schedule of trigger {TriggerKey} could not be continued after a run that had waited")]
    public static partial void CannotContinueSchedule(this ILogger log, string triggerKey, Exception cause);

    [LoggerMessage(350, LogLevel.Warning, "It is not known whether the trigger of job {JobId} has ended or is paused: the run requests its lock")]
    public static partial void CannotReadTrigger(this ILogger log, string jobId, Exception cause);

    [LoggerMessage(351, LogLevel.Error, "Job {JobId} is rescheduled: the job store failed after the lock was acquired")]
    public static partial void StoreFailed(this ILogger log, string jobId, Exception cause);

    [LoggerMessage(352, LogLevel.Debug, "Whether triggers of {Scheduler} start after jobs with a lock is not known")]
    public static partial void CannotCheckContinuations(this ILogger log, string scheduler, Exception cause);
}
