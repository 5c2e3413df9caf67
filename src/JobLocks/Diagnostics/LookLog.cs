using Microsoft.Extensions.Logging;

namespace JobLocks.Diagnostics;

/// <summary>What is said about those who look, and what they ask for. Ids from 600.</summary>
internal static partial class LookLog
{
    [LoggerMessage(601, LogLevel.Warning, "Who holds what cannot be written down at {Server}: those who look see less for a while")]
    public static partial void LedgerFailed(this ILogger log, string server, Exception cause);

    [LoggerMessage(602, LogLevel.Warning, "The lock {LockName} ({LockKey}) of {Run} is to be let go, since {By} asked for it: its run is told to stop")]
    public static partial void LetsGo(this ILogger log, string lockName, long lockKey, string run, string by);

    [LoggerMessage(603, LogLevel.Warning, "{By} asks the holder of the lock {LockKey} to let go: {Answer}")]
    public static partial void ReleaseAsked(this ILogger log, string by, long lockKey, ReleaseAnswer answer);

    [LoggerMessage(604, LogLevel.Warning, "{By} ends the session of the backend {Backend}, and with it all locks that it holds: {Ended}")]
    public static partial void SessionEnded(this ILogger log, string by, int backend, bool ended);
}
