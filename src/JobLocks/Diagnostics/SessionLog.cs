using Microsoft.Extensions.Logging;

namespace JobLocks.Diagnostics;

/// <summary>What the session says. Ids from 200.</summary>
internal static partial class SessionLog
{
    [LoggerMessage(201, LogLevel.Information, "The lock session is open: {Server}, backend {Backend}")]
    public static partial void Opened(this ILogger log, string server, int backend);

    [LoggerMessage(202, LogLevel.Error, "The lock session broke, and with it {Count} held locks: their runs are told to stop")]
    public static partial void Broke(this ILogger log, int count, Exception cause);

    [LoggerMessage(203, LogLevel.Warning, "The lock {LockName} ({LockKey}) was no longer held when it was released: its session was interfered with")]
    public static partial void ReleasedUnheld(this ILogger log, string? lockName, long lockKey);
}
