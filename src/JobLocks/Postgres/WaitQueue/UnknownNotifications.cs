using System.Diagnostics;
using JobLocks.Diagnostics;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Notifications on the channel that are not from JobLocks: every role may send them. The first is logged at once, and those after it are counted and logged together
/// once in a while. Thread-safe.
/// </summary>
internal sealed class UnknownNotifications : IDisposable
{
    private readonly Lock _sync = new();
    private readonly ILogger _log;
    private readonly Timer _timer;
    private long _count;
    private (string Said, int Backend) _last = ("", 0);
    private bool _isPaused;
    private bool _isClosed;

    public UnknownNotifications(ILogger log)
    {
        _log = log;
        _timer = new(_ => EndPause(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Counts one, and logs it if none was logged for a while.</summary>
    public void Add(string said, int backend)
    {
        lock (_sync)
        {
            _count++;
            _last = (said, backend);
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
            // A logger that throws. On a timer, that would end the process.
            Debug.WriteLine(unexpected);
        }
    }

    private void Log()
    {
        long count;
        (string Said, int Backend) last;
        lock (_sync) (count, last, _count) = (_count, _last, 0);
        _log.UnknownNotifications(count, last.Backend, DisplayText.Name(last.Said), LogThrottle.Pause.TotalSeconds);
    }
}
