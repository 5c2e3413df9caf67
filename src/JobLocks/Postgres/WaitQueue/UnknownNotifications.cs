using System.Diagnostics;
using JobLocks.Diagnostics;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Notifications on the channel that JobLocks has not sent: every database role can send them. The first one is logged at once. Later ones are counted, and
/// logged together at intervals. Thread-safe.
/// </summary>
internal sealed class UnknownNotifications : IDisposable
{
    private readonly Lock _sync = new();
    private readonly ILogger _log;
    private readonly Timer _timer;
    private long _count;
    private (string Payload, int Backend) _last = ("", 0);
    private bool _isPaused;
    private bool _isClosed;

    public UnknownNotifications(ILogger log)
    {
        _log = log;
        _timer = new(_ => EndPause(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Counts a notification, and logs it if none was logged recently.</summary>
    public void Add(string payload, int backend)
    {
        lock (_sync)
        {
            _count++;
            _last = (payload, backend);
            if (_isPaused || _isClosed) return;

            _isPaused = true;
            _timer.Change(LogThrottle.Pause, Timeout.InfiniteTimeSpan);
        }

        Log();
    }

    public void Dispose()
    {
        lock (_sync) _isClosed = true;
        _timer.Dispose();
    }

    private void EndPause()
    {
        lock (_sync)
        {
            if (_isClosed) return;

            _isPaused = _count > 0;
            if (!_isPaused) return;

            _timer.Change(LogThrottle.Pause, Timeout.InfiniteTimeSpan);
        }

        try
        {
            Log();
        }
        catch (Exception unexpected)
        {
            // The logger threw. On a timer, an exception would end the process.
            Debug.WriteLine(unexpected);
        }
    }

    private void Log()
    {
        long count;
        (string Payload, int Backend) last;
        lock (_sync) (count, last, _count) = (_count, _last, 0);
        _log.UnknownNotifications(count, last.Backend, DisplayText.Name(last.Payload), LogThrottle.Pause.TotalSeconds);
    }
}
