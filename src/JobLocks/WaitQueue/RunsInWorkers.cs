using System.Collections.Concurrent;

namespace JobLocks.WaitQueue;

/// <summary>The runs of this process that wait in their workers. Thread-safe.</summary>
/// <param name="wakeNext">Wakes the next run of a key where a run has not used the signal of a release. Must not block.</param>
internal sealed class RunsInWorkers(Action<LockKey> wakeNext)
{
    private readonly ConcurrentDictionary<long, WakeWatch> _watches = new();

    /// <summary>Watches for the wake of the run with this entry number, until the watch is disposed.</summary>
    /// <param name="entry">The entry number.</param>
    /// <param name="key">The key for which the run waits.</param>
    /// <param name="isExclusive">Whether the lock admits one run at a time.</param>
    public WakeWatch Watch(long entry, LockKey key, bool isExclusive)
    {
        WakeWatch? watch = null;
        watch = new(key, isExclusive, isUnused =>
        {
            _watches.TryRemove(new(entry, watch!));
            if (isUnused) wakeNext(key);
        });
        return _watches[entry] = watch;
    }

    /// <summary>Signals to a run that it was woken.</summary>
    /// <returns>False where it does not wait in a worker of this process.</returns>
    public bool Wake(long entry) => Signal(entry, WakeSignal.Woken);

    /// <summary>Signals to a run that it must read its entry, because it may have been woken.</summary>
    /// <returns>False where it does not wait in a worker of this process.</returns>
    public bool ReadAgain(long entry) => Signal(entry, WakeSignal.ReadAgain);

    /// <summary>Signals to all runs that they must read their entries.</summary>
    public void ReadAllAgain()
    {
        foreach (var watch in _watches.Values) watch.Signal(WakeSignal.ReadAgain);
    }

    /// <summary>
    /// Signals to the first run of this process that waits for a key that the lock is free. The run requests the lock without a wake, and is refused if other
    /// runs precede it. In that case, and if it does not wait any more, the next run is woken.
    /// </summary>
    /// <returns>False where no run waits for the key in a worker of this process: then the next run must be woken.</returns>
    public bool TrySignalFree(LockKey key)
    {
        if (_watches.IsEmpty) return false;

        var first = _watches.Where(watch => watch.Value.Key == key && watch.Value.IsExclusive).OrderBy(static watch => watch.Key).Select(static watch => watch.Value).FirstOrDefault();
        return first?.Signal(WakeSignal.Free) == true;
    }

    private bool Signal(long entry, WakeSignal signal) => _watches.TryGetValue(entry, out var watch) && watch.Signal(signal);
}
