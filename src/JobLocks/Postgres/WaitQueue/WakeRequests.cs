using System.Runtime.InteropServices;
using JobLocks.Primitives;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>What the thread of the <see cref="WakeDispatcher"/> has to do next, noted by other threads. Thread-safe.</summary>
internal sealed class WakeRequests
{
    // More notifications at once are a flood. A statement that looks up all their entries would delay the wake of a run.
    private const int MostNotified = 1000;

    private readonly StateMutex _sync = new();
    private Dictionary<LockKey, int> _freeKeys = [];
    private HashSet<long> _entries = [];
    private readonly Dictionary<LockKey, TimeSpan> _calls = [];
    private bool _isClosed;
    private bool _isSweepRequested;
    private bool _isDeferredDeliveryRequested;
    private volatile bool _hasDeferredWakes;

    /// <summary>Whether wakes may have been left to the first process with a free worker, which may be this one.</summary>
    public bool HasDeferredWakes
    {
        get => _hasDeferredWakes;
        set => _hasDeferredWakes = value;
    }

    /// <summary>Called under a mutex when there is something to do.</summary>
    public Action OnRequested { get; init; } = static () => { };

    /// <summary>Waiters of these keys can run.</summary>
    public void Add(IReadOnlyList<FreeKey> keys) => Note(() =>
    {
        // Each release of a limited lock frees one more slot.
        foreach (var (key, free, _) in keys)
        {
            _freeKeys[key] = _freeKeys.GetValueOrDefault(key) + free;
            _calls.Remove(key);
        }
    });

    /// <summary>The next runs of these keys are not called: the keys were released.</summary>
    public void CancelCalls(IReadOnlyList<FreeKey> keys)
    {
        lock (_sync)
        {
            foreach (var free in keys) _calls.Remove(free.Key);
        }
    }

    /// <summary>The next run of a key is called at a time on the <see cref="BootClock"/>, unless the key is released before.</summary>
    public void AddCall(LockKey key, TimeSpan at) => Note(() => _calls[key] = at);

    /// <summary>The run of this entry is woken, and its wake may not be delivered yet.</summary>
    public void AddEntry(long entry) => Note(() => _entries.Add(entry));

    /// <summary>
    /// As <see cref="AddEntry"/>, for a notification. In a flood, entries are not looked up one by one: all wakes that are not delivered are found
    /// together.
    /// </summary>
    public void AddNotified(long entry) => Note(() =>
    {
        if (_entries.Count < MostNotified) _entries.Add(entry);
        else _isDeferredDeliveryRequested = _hasDeferredWakes = true;
    });

    /// <summary>A worker of this process is free.</summary>
    public void WorkerFreed()
    {
        if (_hasDeferredWakes) Note(() => _isDeferredDeliveryRequested = true);
    }

    /// <summary>The stores are to be swept at once.</summary>
    public void AddSweep() => Note(() => _isSweepRequested = true);

    /// <summary>Removes and returns the keys whose waiters can run.</summary>
    public IReadOnlyList<FreeKey> TakeFreeKeys()
    {
        lock (_sync)
        {
            var keys = _freeKeys;
            if (keys.Count > 0) _freeKeys = [];
            return [.. keys.Select(static free => new FreeKey(free.Key, free.Value))];
        }
    }

    /// <summary>Blocks until there is something to do.</summary>
    /// <param name="atMost">Returns how long to wait for it. Called under the mutex.</param>
    /// <returns>What there is to do apart from the free keys; null when the requests were closed.</returns>
    public Batch? WaitForNext(Func<TimeSpan> atMost)
    {
        lock (_sync)
        {
            while (!_isClosed && !_isSweepRequested && !_isDeferredDeliveryRequested && _freeKeys.Count + _entries.Count == 0)
            {
                var pause = UntilNextCall(atMost());
                if (pause == TimeSpan.Zero) break;

                _sync.Wait(pause);
            }

            if (_isClosed) return null;

            var next = new Batch([.. _entries], TakeDueCalls(), _isDeferredDeliveryRequested, _isSweepRequested);
            _isDeferredDeliveryRequested = _isSweepRequested = false;
            _entries = [];
            return next;
        }
    }

    /// <summary>Ends the wait of the thread. Nothing is noted any more.</summary>
    public void Close()
    {
        lock (_sync)
        {
            _isClosed = true;
            _sync.SignalChange();
        }
    }

    private TimeSpan UntilNextCall(TimeSpan atMost)
    {
        if (_calls.Count == 0) return atMost;

        var left = _calls.Values.Min() - BootClock.Now;
        return left <= TimeSpan.Zero ? TimeSpan.Zero : atMost == Timeout.InfiniteTimeSpan || left < atMost ? left : atMost;
    }

    private List<LockKey> TakeDueCalls()
    {
        if (_calls.Count == 0) return [];

        var now = BootClock.Now;
        var due = _calls.Where(call => call.Value <= now).Select(static call => call.Key).ToList();
        foreach (var key in due) _calls.Remove(key);
        return due;
    }

    private void Note(Action change)
    {
        lock (_sync)
        {
            change();
            if (_isClosed) return;

            _sync.SignalChange();
            OnRequested();
        }
    }

    /// <param name="Entries">The entry numbers of woken runs whose wakes may not be delivered yet.</param>
    /// <param name="Calls">The keys whose next runs are called.</param>
    /// <param name="DeliversDeferred">Whether the wakes are delivered that were left to the first free worker.</param>
    /// <param name="IsSweepRequested">Whether the stores are swept at once.</param>
    [StructLayout(LayoutKind.Auto)]
    internal readonly record struct Batch(long[] Entries, IReadOnlyList<LockKey> Calls, bool DeliversDeferred, bool IsSweepRequested);
}
