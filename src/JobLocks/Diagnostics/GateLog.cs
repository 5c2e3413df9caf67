using Microsoft.Extensions.Logging;

namespace JobLocks.Diagnostics;

/// <summary>The log messages of the gate. Event ids from 100.</summary>
internal static partial class GateLog
{
    [LoggerMessage(101, LogLevel.Debug, "Job {JobId} is admitted under {LockName} ({LockKey})")]
    public static partial void Admitted(this ILogger log, string jobId, string lockName, long lockKey);

    [LoggerMessage(102, LogLevel.Information, "Job {JobId} is refused under {LockName} ({LockKey}). {Reason}")]
    public static partial void Refused(this ILogger log, string jobId, string lockName, long lockKey, string reason);

    [LoggerMessage(103, LogLevel.Warning, "Job {JobId} is rescheduled: its lock {LockName} cannot be requested. For other jobs, this is logged at Debug for the next {Pause} s")]
    public static partial void Unavailable(this ILogger log, string jobId, string lockName, double pause, Exception cause);

    [LoggerMessage(106, LogLevel.Debug, "Job {JobId} is rescheduled: its lock {LockName} cannot be requested either. {Reason}")]
    public static partial void AlsoUnavailable(this ILogger log, string jobId, string lockName, string reason);

    [LoggerMessage(104, LogLevel.Warning, "Job {JobId} is treated as started before: its job store could not be asked")]
    public static partial void UnknownPast(this ILogger log, string jobId, Exception cause);

    [LoggerMessage(105, LogLevel.Information, "Job {JobId} waits for {LockName} ({LockKey}). {Reason}")]
    public static partial void Waits(this ILogger log, string jobId, string lockName, long lockKey, string reason);

    [LoggerMessage(108, LogLevel.Debug, "Job {JobId} waits in its worker for {LockName} ({LockKey})")]
    public static partial void WaitsInWorker(this ILogger log, string jobId, string lockName, long lockKey);

    [LoggerMessage(107, LogLevel.Warning, "{Holder} still holds {LockName}, {Seconds} s after it created job {JobId}, which needs that lock: if it waits for that job, neither can continue. Let it end first, or give the two jobs different lock names")]
    public static partial void WaitsForItself(this ILogger log, string holder, string lockName, double seconds, string jobId);
}
