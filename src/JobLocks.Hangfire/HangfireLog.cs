using Microsoft.Extensions.Logging;

namespace JobLocks.Hangfire;

/// <summary>Log messages of the Hangfire adapter, with ids from 340. The gate logs refusals.</summary>
internal static partial class HangfireLog
{
    [LoggerMessage(340, LogLevel.Error, "Job {JobId} is told to stop: its lock {LockName} ({LockKey}) is lost")]
    public static partial void Stopping(this ILogger log, string jobId, string lockName, long lockKey);

    [LoggerMessage(341, LogLevel.Warning, "Job {JobId} goes on without its lock: Hangfire's storage cannot be told to stop it. Next try in {Pause} s")]
    public static partial void CannotStop(this ILogger log, string jobId, double pause, Exception cause);

    [LoggerMessage(342, LogLevel.Information, "Job {JobId} is not told to stop, though its lock is lost: it has ended, was told before, or was fetched by another worker")]
    public static partial void NotStopped(this ILogger log, string jobId);

    [LoggerMessage(343, LogLevel.Warning, "Job {JobId} ended by itself after its lock {LockName} ({LockKey}) was lost: another run may have been under way")]
    public static partial void EndedWithoutLock(this ILogger log, string jobId, string lockName, long lockKey);

    [LoggerMessage(344, LogLevel.Warning, "Job {JobId} has to wait, but its state could not be stored: its worker stores it")]
    public static partial void CannotPark(this ILogger log, string jobId, Exception cause);

    [LoggerMessage(345, LogLevel.Warning, "Job {JobId} is parked, but its queue entry could not be updated: a sweep does it")]
    public static partial void CannotMarkParked(this ILogger log, string jobId, Exception cause);

    [LoggerMessage(346, LogLevel.Warning, "Job {JobId} waits as decided, although another filter threw an exception at the end of the canceled run")]
    public static partial void FilterThrew(this ILogger log, string jobId, Exception cause);
}
