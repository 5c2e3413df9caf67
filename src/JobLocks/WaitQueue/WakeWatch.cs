using JobLocks.Primitives;

namespace JobLocks.WaitQueue;

/// <summary>Watches for the wake of one run that waits in its worker. Thread-safe.</summary>
/// <param name="key">The key for which the run waits.</param>
/// <param name="isExclusive">Whether the lock admits one run at a time.</param>
/// <param name="ended">Called when the watch is disposed: whether the run was told that the lock is free, and has not taken note of it.</param>
internal sealed class WakeWatch(LockKey key, bool isExclusive, Action<bool> ended) : IDisposable
{
    private readonly Lock _sync = new();
    private TaskCompletionSource _told = New();
    private WakeSignal _signal;
    private bool _isDisposed;

    public LockKey Key => key;

    public bool IsExclusive => isExclusive;

    /// <summary>When the run was told last, on the <see cref="BootClock"/>.</summary>
    public TimeSpan ToldAt { get; private set; }

    /// <summary>Tells the run something.</summary>
    /// <returns>False where the watch was disposed.</returns>
    public bool Signal(WakeSignal signal)
    {
        lock (_sync)
        {
            if (_isDisposed) return false;

            if (signal > _signal) (_signal, ToldAt) = (signal, BootClock.Now);
            _told.TrySetResult();
            return true;
        }
    }

    /// <summary>Waits for the next signal, and takes it.</summary>
    /// <returns><see cref="WakeSignal.None"/> where no signal came in time, or <paramref name="stop"/> was cancelled.</returns>
    public async ValueTask<WakeSignal> NextAsync(TimeSpan atMost, bool blocks, CancellationToken stop)
    {
        Task told;
        lock (_sync) told = _told.Task;
        if (blocks) BlockUntil(told, atMost, stop);
        else await told.WaitAsync(atMost, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

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
            _told = New();
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

    private static void BlockUntil(Task told, TimeSpan atMost, CancellationToken stop)
    {
        try
        {
            Blocking.TryWait(told, atMost, stop);
        }
        catch (OperationCanceledException)
        {
            // The caller checks whether a signal has come.
        }
    }

    // A waiting run continues on its own thread, and not on that of the signal.
    private static TaskCompletionSource New() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
