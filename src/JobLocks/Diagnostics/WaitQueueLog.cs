using Microsoft.Extensions.Logging;

namespace JobLocks.Diagnostics;

/// <summary>The log messages of the wait queue. Event ids from 400.</summary>
internal static partial class WaitQueueLog
{
    [LoggerMessage(401, LogLevel.Warning, "Waiting runs could not be woken or checked (wait queue at {Server}, or a job store): a later sweep does it")]
    public static partial void WaitQueueFailed(this ILogger log, string server, Exception cause);

    [LoggerMessage(402, LogLevel.Warning, "{Count} runs of the store {Store} could not be woken, or their state could not be read: JobLocks tries again")]
    public static partial void StoreFailed(this ILogger log, string store, int count, Exception cause);

    [LoggerMessage(403, LogLevel.Information, "The queue entry of job {JobId} for {LockName} is removed: its store does not have the run parked any more")]
    public static partial void EntryRemoved(this ILogger log, string jobId, string lockName);

    [LoggerMessage(408, LogLevel.Warning, "The job store {Store} has not been served by any process for {Kept}: the queue entries of its waiting runs are removed")]
    public static partial void UnservedEntriesRemoved(this ILogger log, string store, TimeSpan kept);

    [LoggerMessage(404, LogLevel.Debug, "This process sweeps the wait queue for {Store}")]
    public static partial void SweepsStore(this ILogger log, string store);

    [LoggerMessage(405, LogLevel.Warning, "The channel joblocks brought {Count} notifications that are not from JobLocks, the last one from backend {Backend}: {News}. The next ones are counted, and logged after {Pause} s")]
    public static partial void UnknownNotifications(this ILogger log, long count, int backend, string news, double pause);

    [LoggerMessage(407, LogLevel.Warning, "Job {JobId} runs, but its queue entry for {LockName} could not be removed: it is removed later")]
    public static partial void CannotDequeue(this ILogger log, string jobId, string lockName, Exception cause);

    [LoggerMessage(409, LogLevel.Warning, "The job store {Store} cannot be shown as served: programs that are not JobLocks hold the advisory locks (1246524276, hashtext of that name), (1246524209 to 1246524217, the same) and many of (1246560256 to 1246625791, the same). Other runs bypass its waiting runs, which are not woken")]
    public static partial void CannotShowStore(this ILogger log, string store);

    [LoggerMessage(420, LogLevel.Warning, "A program that is not JobLocks holds a lock that JobLocks needs for its own work. {Holder}")]
    public static partial void InternalLockIsHeld(this ILogger log, string holder);

    [LoggerMessage(421, LogLevel.Information, "The backend {Backend} does not hold the internal lock ({KeyClass}, {Number}) of JobLocks any more")]
    public static partial void InternalLockIsFree(this ILogger log, int backend, int keyClass, int number);

    [LoggerMessage(410, LogLevel.Information, "The job store {Before} is named {Now} from now on, in the queue entries of its waiting runs too: it was restored, or its name was lost")]
    public static partial void Renamed(this ILogger log, string before, string now);

    [LoggerMessage(411, LogLevel.Information, "Job {JobId} waits in {Store} without a queue entry: it is started, and enqueued again if it must wait")]
    public static partial void StartedWithoutEntry(this ILogger log, string jobId, string store);

    [LoggerMessage(412, LogLevel.Information, "Job {JobId} waits in {Store}, which was restored or had another name: it keeps its entry number")]
    public static partial void Adopted(this ILogger log, string jobId, string store);

    [LoggerMessage(413, LogLevel.Warning, "{Count} runs wait in {Store} and their entries in the wait queue were lost: they have their entry numbers back")]
    public static partial void Restored(this ILogger log, int count, string store);
}
