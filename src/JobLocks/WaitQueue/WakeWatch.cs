using JobLocks.Primitives;

namespace JobLocks.WaitQueue;

/// <summary>Watches for the wake of one run that waits in its worker. Thread-safe.</summary>
/// <param name="key">The key for which the run waits.</param>
/// <param name="isExclusive">Whether the lock admits one run at a time.</param>
/// <param name="ended">Called when the watch is disposed, with true if the run has not taken a signal that it may request its lock.</param>
internal sealed class WakeWatch(LockKey key, bool isExclusive, Action<bool> ended) : IDisposable
{
    private readonly Lock _sync = new();
    private TaskCompletionSource _signalled = New();
    private WakeSignal _signal;
    private bool _isDisposed;

    public LockKey Key => key;

    public bool IsExclusive => isExclusive;

    /// <summary>When the last signal came, on the <see cref="BootClock"/>.</summary>
    public TimeSpan SignalledAt { get; private set; }

    /// <summary>Gives the run a signal.</summary>
    /// <returns>False where the watch was disposed.</returns>
    public bool Signal(WakeSignal signal)
    {
        lock (_sync)
        {
            if (_isDisposed) return false;

            if (signal > _signal) (_signal, SignalledAt) = (signal, BootClock.Now);
            _signalled.TrySetResult();
            return true;
        }
    }

    /// <summary>Waits for the next signal, and takes it.</summary>
    /// <returns><see cref="WakeSignal.None"/> where no signal came in time, or <paramref name="stop"/> was cancelled.</returns>
    public async ValueTask<WakeSignal> NextAsync(TimeSpan atMost, bool blocks, CancellationToken stop)
    {
        Task signalled;
        lock (_sync) signalled = _signalled.Task;
        if (blocks) BlockUntil(signalled, atMost, stop);
        else await signalled.WaitAsync(atMost, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        // A run that is to be parked leaves its signal: when the watch is disposed, another run is woken instead.
        return stop.IsCancellationRequested ? WakeSignal.None : Take();
    }

    /// <summary>Takes the signal that has come, if any.</summary>
    public WakeSignal Take()
    {
        lock (_sync)
        {
            var signal = _signal;
            if (signal == WakeSignal.None) return signal;

            _signal = WakeSignal.None;
            _signalled = New();
            return signal;
        }
    }

    public void Dispose()
    {
        bool isUnused;
        lock (_sync)
        {
            if (_isDisposed) return;

            _isDisposed = true;
            isUnused = _signal >= WakeSignal.Free;
        }

        ended(isUnused);
    }

    private static void BlockUntil(Task signalled, TimeSpan atMost, CancellationToken stop)
    {
        try
        {
            Blocking.TryWait(signalled, atMost, stop);
        }
        catch (OperationCanceledException)
        {
            // The caller checks whether a signal has come.
        }
    }

    // A waiting run continues on its own thread, and not on that of the signal.
    private static TaskCompletionSource New() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
