using JobLocks.Diagnostics;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;

namespace JobLocks.InMemory;

/// <summary>Runs pieces of work one after the other on the thread pool. While there is none, it uses no thread. Thread-safe.</summary>
internal sealed class BackgroundWork(ILogger log)
{
    private readonly Lock _sync = new();
    private readonly LogThrottle _failureThrottle = new();
    private readonly Queue<Func<Task>> _pending = [];
    private bool _isRunning;
    private bool _isClosed;

    /// <summary>Adds a piece of work. Does not block, and does nothing after <see cref="Close"/>.</summary>
    public void Add(Func<Task> work)
    {
        lock (_sync)
        {
            if (_isClosed) return;

            _pending.Enqueue(work);
            if (_isRunning) return;

            _isRunning = true;
        }

        // Without the context of the caller: a job store must not find the lock or the activity of the run that released a lock.
        ThreadPool.UnsafeQueueUserWorkItem(static background => _ = background.RunAsync(), this, preferLocal: false);
    }

    /// <summary>Drops the work that has not begun.</summary>
    public void Close()
    {
        lock (_sync)
        {
            _isClosed = true;
            _pending.Clear();
        }
    }

    private async Task RunAsync()
    {
        while (true)
        {
            Func<Task>? work;
            lock (_sync)
            {
                _isRunning = _pending.TryDequeue(out work);
                if (!_isRunning) return;
            }

            try
            {
                await work!().ConfigureAwait(false);
            }
            catch (Exception error)
            {
                Log(error);
            }
        }
    }

    /// <summary>Logs an error of a job store, at most once in some seconds: each sweep may meet it again.</summary>
    private void Log(Exception error)
    {
        // The locks were disposed while the work was under way.
        if (error is ObjectDisposedException || !_failureThrottle.IsTime()) return;

        try
        {
            log.WaitQueueFailed("memory", error);
        }
        catch (Exception)
        {
            // A logger that throws must not end the work.
        }
    }
}
