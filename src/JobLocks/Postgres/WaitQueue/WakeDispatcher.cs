using JobLocks.Diagnostics;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.Reading;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Wakes waiting runs on its own thread: after a lock is released, after a notification of another process, and after a sweep has found a missed wake.
/// Thread-safe.
/// </summary>
internal sealed partial class WakeDispatcher : IDisposable
{
    // More notifications at once are a flood. A statement that looks up all their positions would delay the wake of a run.
    private const int MostNotified = 1000;

    private static readonly TimeSpan LongestJoin = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan LongestRemoval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan MinFailureWindow = TimeSpan.FromSeconds(5);

    private readonly object _sync = new();
    private readonly WaitQueueStatements _statements;
    private readonly LockDispatcher _dispatcher;
    private readonly WaitQueueSweep _sweep;
    private readonly TimeSpan _sweepInterval;
    private readonly ILogger _log;
    private readonly ServedStores _stores = new();
    private readonly StorePresence _presence;
    private readonly UnservedStores _unserved;
    private readonly UnknownNotifications _unknownNotifications;
    private readonly RecentFailure _failure;
    private readonly RestoredEntries _restored;
    // Earlier names of stores, under which the wait queue may still have entries. Used by the dispatcher's thread alone.
    private readonly HashSet<string> _toRename = new(StringComparer.Ordinal);

    private Dictionary<LockKey, int> _freeKeys = [];
    private HashSet<long> _positions = [];
    private Thread? _thread;
    private bool _isClosed;
    private bool _isSweepRequested;
    private bool _deliverDeferred;
    private volatile bool _hasDeferredWakes;

    public WakeDispatcher(WaitQueueStatements statements, LockDispatcher dispatcher, InternalLocks internalLocks, JobLocksOptions options, ILogger log)
    {
        _statements = statements;
        _dispatcher = dispatcher;
        _sweepInterval = options.SweepInterval;
        _log = log;
        _presence = new(dispatcher, log);
        _unknownNotifications = new(log);
        _failure = new(options.SweepInterval * 3 > MinFailureWindow ? options.SweepInterval * 3 : MinFailureWindow);
        _unserved = new(statements, options, log);
        _restored = new(statements, this, log);
        _sweep = new(statements, dispatcher, new(dispatcher, internalLocks), this, _unserved, new(statements, this, _unserved, options, log), options, log);
    }

    /// <summary>The runs that this process has woken.</summary>
    public LocallyWokenRuns LocallyWoken { get; } = new();

    /// <summary>The runs that this process has woken and that are not known to have started.</summary>
    public PendingWakes PendingWakes { get; } = new();

    /// <summary>The runs that this process has parked.</summary>
    public LocallyParkedRuns LocallyParked { get; } = new();

    /// <summary>The stores for which this process can start runs.</summary>
    public StorePresence Presence => _presence;

    /// <summary>Whether a statement about waiting runs failed recently: runs may wait for a lock that is free.</summary>
    public bool IsBroken => _failure.IsRecent;

    /// <summary>Wakes runs of a store from this process. A second call makes the dispatcher check at once whether a scheduler of this process can start them.</summary>
    public void Serve(IRunStore store)
    {
        _stores.Add(store);
        store.WorkerFreed = OnWorkerFreed;
        lock (_sync)
        {
            _isSweepRequested = true;
            SignalThread();
        }
    }

    /// <summary>The store is closed in this process. Other processes may continue with it.</summary>
    public void Forget(IRunStore store)
    {
        if (!_stores.Remove(store, out var earlierNames) || store.Id is not { } id) return;

        foreach (var name in earlierNames.Append(id).Distinct(StringComparer.Ordinal))
        {
            _sweep.Forget(name);
            _presence.Hide(name);
            LocallyParked.Forget(name);
        }

        if (VolatileStore.Is(id)) RemoveEntriesOf(id);
    }

    /// <summary>Whether this process wakes runs of this store.</summary>
    public bool Serves(string store) => FindStore(store) is not null;

    /// <summary>Whether this store was closed in this process. One of its runs may still be about to enter the wait queue.</summary>
    public bool IsClosed(string store) => _stores.WasRemoved(store);

    /// <summary>The store of this name; null where this process does not serve it.</summary>
    public IRunStore? FindStore(string store) => _stores.Find(store);

    /// <summary>Requests that waiters of these keys are woken: at least one of them can run now. Returns at once.</summary>
    public void RequestWakes(IReadOnlyList<FreeKey> keys)
    {
        lock (_sync)
        {
            // Each release of a limited lock frees one more slot.
            foreach (var (key, free, _) in keys) _freeKeys[key] = _freeKeys.GetValueOrDefault(key) + free;
            SignalThread();
        }
    }

    /// <summary>Requests that the wake at this position is delivered: its store may not know of it yet. Returns at once.</summary>
    public void RequestDelivery(long position)
    {
        lock (_sync)
        {
            _positions.Add(position);
            SignalThread();
        }
    }

    /// <summary>
    /// Requests the delivery of a wake that a notification reports. In a flood, positions are not looked up one by one: all wakes that are not delivered are
    /// found together.
    /// </summary>
    private void RequestNotifiedDelivery(long position)
    {
        lock (_sync)
        {
            if (_positions.Count < MostNotified) _positions.Add(position);
            else _deliverDeferred = _hasDeferredWakes = true;
            SignalThread();
        }
    }

    /// <summary>A worker of this process is free. Returns at once.</summary>
    private void OnWorkerFreed()
    {
        if (!_hasDeferredWakes) return;

        lock (_sync)
        {
            _deliverDeferred = true;
            SignalThread();
        }
    }

    public void Dispose()
    {
        lock (_sync)
        {
            _isClosed = true;
            Monitor.PulseAll(_sync);
        }

        _thread?.Join(LongestJoin);
        _unknownNotifications.Dispose();
        // No other process can start the runs of a store in the memory of this process, so their entries are removed.
        if (_dispatcher.HasWaitQueue == true)
        {
            foreach (var store in _stores.All) if (store.Id is { } id && VolatileStore.Is(id)) RemoveEntriesOf(id);
        }

        _statements.Dispose();
    }

    /// <summary>Starts or wakes the dispatcher's thread. The caller holds <c>_sync</c>.</summary>
    private void SignalThread()
    {
        if (_isClosed) return;

        Monitor.PulseAll(_sync);
        _thread ??= SessionThread.Start("JobLocks line", RunLoop);
    }

    private void RunLoop()
    {
        var sweepAt = BootClock.Now + _sweepInterval;
        while (true)
        {
            long[] positions;
            bool deliverDeferred;
            lock (_sync)
            {
                while (!_isClosed && !_isSweepRequested && !_deliverDeferred && _freeKeys.Count + _positions.Count == 0 && (!_stores.Any || BootClock.Now < sweepAt))
                    Monitor.Wait(_sync, !_stores.Any ? Timeout.InfiniteTimeSpan : AtLeastZero(sweepAt - BootClock.Now));
                if (_isClosed) return;

                if (_isSweepRequested) sweepAt = BootClock.Now;
                (deliverDeferred, _deliverDeferred, _isSweepRequested) = (_deliverDeferred, false, false);
                (positions, _positions) = ([.. _positions], []);
            }

            if (TakeFreeKeys() is { Count: > 0 } freeKeys) Try(() => Wake(freeKeys));
            if (positions.Length > 0) Try(() => DeliverWakes(positions));
            if (deliverDeferred) Try(DeliverDeferredWakes);
            if (BootClock.Now < sweepAt) continue;

            // A random interval, so that not all processes sweep at the same moment.
            sweepAt = BootClock.Now + (_sweepInterval * (0.9 + (0.2 * Random.Shared.NextDouble())));
            foreach (var store in _stores.All) Try(() => Sweep(store));
        }
    }

    /// <summary>Removes the entries of a store whose runs end with it. Waits for the server, but not for long: otherwise a sweep removes the entries later.</summary>
    private void RemoveEntriesOf(string store)
    {
        var removal = Task.Factory.StartNew(() => Try(() => _unserved.RemoveEntries(store)), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        Blocking.TryWait(removal, LongestRemoval, CancellationToken.None);
    }

    /// <summary>Sweeps a store. A store for which no scheduler of this process works is left to other processes.</summary>
    private void Sweep(IRunStore store)
    {
        var id = Blocking.Wait(store.IdentifyAsync(CancellationToken.None).AsTask());
        var earlierNames = _stores.Rename(store, id, out var isNew);
        if (isNew)
        {
            _toRename.Add(earlierNames[^1]);
            _log.Renamed(DisplayText.Name(earlierNames[^1]), DisplayText.Name(id));
        }

        // A run that was enqueued in the meantime has an entry under the name that it knew.
        foreach (var name in earlierNames.Where(name => _toRename.Contains(name) || _presence.Shows(name))) Rename(name, id);
        var canStart = Blocking.Wait(store.CanStartRunsAsync(CancellationToken.None).AsTask());
        // Other processes remove the entries of a store in memory while no scheduler of this process can start its runs. Do not restore them.
        if (_dispatcher.HasWaitQueue == true && (canStart || !VolatileStore.Is(id))) Try(() => _restored.Restore(store));
        if (canStart && Serves(id))
        {
            _presence.Show(id);
            // Forget was called in the meantime.
            if (!Serves(id)) _presence.Hide(id);
            _sweep.Sweep(store);
            // Another run may have taken the worker that was free when a run was woken.
            var free = new FreeWorkers([store]);
            if (PendingWakes.LateQueues(id).Any(queue => !free.Serve(queue))) TryNotifyOtherProcesses(id);
        }
        else
        {
            _presence.Hide(id);
            _sweep.Forget(id);
        }
    }

    /// <summary>The entries follow their store to its new name: it was restored, or another process has renamed it. If that fails, the next sweep tries again.</summary>
    private void Rename(string oldName, string newName)
    {
        _toRename.Add(oldName);
        _sweep.Forget(oldName);
        if (_dispatcher.HasWaitQueue != true) return;

        Execute(SweepSql.RenameStore, new NpgsqlParameter<string> { TypedValue = oldName }, new NpgsqlParameter<string> { TypedValue = newName });
        LocallyParked.Rename(oldName, newName);
        _toRename.Remove(oldName);
        // Last, since every name that is still shown is renamed again.
        _presence.Hide(oldName);
    }

    private static TimeSpan AtLeastZero(TimeSpan time) => time > TimeSpan.Zero ? time : TimeSpan.Zero;

    private void Try(Action action)
    {
        try
        {
            action();
        }
        catch (Exception error)
        {
            // A sweep finds the wakes that are missed here.
            LogOnce(error);
        }
    }

    /// <summary>Logs the first error of an outage, and not one each second.</summary>
    private void LogOnce(Exception error)
    {
        if (!_failure.Add()) return;

        try
        {
            _log.LineFailed(_dispatcher.Server, error);
        }
        catch (Exception)
        {
            // A logger that throws must not end the process, as an exception on this thread would do.
        }
    }
}
