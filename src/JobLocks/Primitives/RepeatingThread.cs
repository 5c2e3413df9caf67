namespace JobLocks.Primitives;

/// <summary>A thread that repeats an action, with pauses, until it is disposed. Thread-safe.</summary>
/// <param name="name">The name of the thread.</param>
/// <param name="pause">The longest pause between two actions.</param>
/// <param name="act">The action. It must handle and log its own errors.</param>
/// <param name="finalAct">An action before the thread ends. It must handle and log its own errors.</param>
internal sealed class RepeatingThread(string name, TimeSpan pause, Action act, Action? finalAct = null) : IDisposable
{
    private static readonly TimeSpan LongestJoin = TimeSpan.FromSeconds(1);

    private readonly StateMutex _sync = new();
    // Written under _sync, and not any more once _isClosed is set: then Dispose reads it without _sync.
    private Thread? _thread;
    private bool _isDue;
    private bool _isClosed;

    /// <summary>Starts the thread, unless it runs already or is disposed.</summary>
    /// <param name="atOnce">Whether the action is due now. False lets a new thread pause first; a thread that is pausing is woken in either case.</param>
    public void Start(bool atOnce)
    {
        lock (_sync)
        {
            if (_isClosed) return;

            _isDue |= atOnce;
            _thread ??= DedicatedThread.Start(name, Run);
            _sync.SignalChange();
        }
    }

    /// <summary>Ends the thread after its present action, and does not wait for its end.</summary>
    public void Stop()
    {
        lock (_sync)
        {
            _isClosed = true;
            _sync.SignalChange();
        }
    }

    /// <summary>Ends the thread, and waits for its end for at most one second.</summary>
    public void Dispose()
    {
        Stop();
        _thread?.Join(LongestJoin);
    }

    private void Run()
    {
        while (true)
        {
            lock (_sync)
            {
                if (!_isClosed && !_isDue) _sync.Wait(pause);
                if (_isClosed) break;

                _isDue = false;
            }

            Try(act);
        }

        if (finalAct is not null) Try(finalAct);
    }

    private static void Try(Action act)
    {
        try
        {
            act();
        }
        catch (Exception)
        {
            // The actions handle their errors, but a logger may throw. An unhandled exception would end the process of the jobs.
        }
    }
}
