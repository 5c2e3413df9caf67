namespace JobLocks.Primitives;

/// <summary>A thread that does the same thing again and again, with pauses, until it is disposed. Thread-safe.</summary>
/// <param name="name">The name of the thread.</param>
/// <param name="pause">How long it pauses at most.</param>
/// <param name="act">What it does. It handles and logs its own errors.</param>
/// <param name="last">What it does before it ends. It handles and logs its own errors.</param>
internal sealed class RepeatingThread(string name, TimeSpan pause, Action act, Action? last = null) : IDisposable
{
    private static readonly TimeSpan LongestEnd = TimeSpan.FromSeconds(1);

    private readonly object _sync = new();
    private Thread? _thread;
    private bool _isDue;
    private bool _isClosed;

    /// <summary>Starts the thread, unless it runs or is disposed.</summary>
    /// <param name="atOnce">Whether it acts now, and not after a pause.</param>
    public void Start(bool atOnce)
    {
        lock (_sync)
        {
            if (_isClosed) return;

            _isDue |= atOnce;
            _thread ??= SessionThread.Start(name, Run);
            Monitor.PulseAll(_sync);
        }
    }

    /// <summary>Ends the thread. Waits for that, but not for long.</summary>
    public void Dispose()
    {
        lock (_sync)
        {
            _isClosed = true;
            Monitor.PulseAll(_sync);
        }

        _thread?.Join(LongestEnd);
    }

    private void Run()
    {
        while (true)
        {
            lock (_sync)
            {
                if (!_isClosed && !_isDue) Monitor.Wait(_sync, pause);
                if (_isClosed) break;

                _isDue = false;
            }

            Try(act);
        }

        if (last is not null) Try(last);
    }

    private static void Try(Action act)
    {
        try
        {
            act();
        }
        catch (Exception)
        {
            // A logger that throws while an error is logged must not end the process of the jobs.
        }
    }
}
