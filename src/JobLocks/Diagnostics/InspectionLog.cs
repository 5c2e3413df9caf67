using Microsoft.Extensions.Logging;

namespace JobLocks.Diagnostics;

/// <summary>The log messages of inspection and of the actions of users. Event ids from 600.</summary>
internal static partial class InspectionLog
{
    [LoggerMessage(601, LogLevel.Warning, "The holders of locks cannot be recorded at {Server}: pages are incomplete until this works again")]
    public static partial void ReadModelFailed(this ILogger log, string server, Exception cause);

    [LoggerMessage(602, LogLevel.Warning, "{By} requested the release of the lock {LockName} ({LockKey}) of {Run}: its run is told to stop")]
    public static partial void ReleaseReceived(this ILogger log, string lockName, long lockKey, string run, string by);

    [LoggerMessage(603, LogLevel.Warning, "{By} requests the release of the lock {LockKey} from its holder")]
    public static partial void ReleaseAsked(this ILogger log, string by, long lockKey);

    [LoggerMessage(604, LogLevel.Warning, "{By} requests the end of the session of backend {Backend}, and so the release of all its locks")]
    public static partial void EndingSession(this ILogger log, string by, int backend);

    [LoggerMessage(605, LogLevel.Warning, "{By} requested the end of the session of backend {Backend}: {Outcome}")]
    public static partial void SessionEnded(this ILogger log, int backend, string by, string outcome);

    [LoggerMessage(606, LogLevel.Information, "{By} requested the release of the lock {LockKey}: {Answer}")]
    public static partial void ReleaseAnswered(this ILogger log, long lockKey, string by, string answer);
}
