using JobLocks.Diagnostics;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>Errors in waking and sweeping: of the wait queue or of a job store. A later sweep does the work. Thread-safe.</summary>
internal sealed class WakeFailures(string server, TimeSpan sweepInterval, ILogger log)
{
    private static readonly TimeSpan ShortestOutage = TimeSpan.FromSeconds(5);

    private readonly RecentFailure _recent = new(sweepInterval * 3 > ShortestOutage ? sweepInterval * 3 : ShortestOutage);

    /// <summary>Whether there was an error recently: runs may wait for a lock that is free.</summary>
    public bool AreRecent => _recent.IsRecent;

    /// <summary>Runs an action. Logs its error, where it is the first one of an outage, and does not throw.</summary>
    public void Try(Action action)
    {
        try
        {
            action();
        }
        catch (Exception error)
        {
            LogOnce(error);
        }
    }

    private void LogOnce(Exception error)
    {
        if (!_recent.Add()) return;

        try
        {
            log.WaitQueueFailed(server, error);
        }
        catch (Exception)
        {
            // A logger that throws must not end the process, as an exception on the thread of the wait queue would do.
        }
    }
}
