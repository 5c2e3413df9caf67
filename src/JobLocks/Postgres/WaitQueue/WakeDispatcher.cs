using System.Globalization;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.Reading;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Wakes waiting runs on its own thread: after a lock is released, after a notification of another process, and after a sweep has found a missed wake.
/// Thread-safe.
/// </summary>
internal sealed class WakeDispatcher : IDisposable
{
    private static readonly TimeSpan LongestJoin = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan LongestRemoval = TimeSpan.FromSeconds(1);

    private readonly PooledStatements _statements;
    private readonly LockDispatcher _dispatcher;
    private readonly TimeSpan _sweepInterval;
    private readonly KnownStores _stores = new();
    private readonly WakeRequests _requests;
    private readonly RunWaker _waker;
    private readonly RunCaller _caller;
    private readonly StoreSweep _storeSweep;
    private readonly SweepLeadership _leadership;
    private readonly UnservedStores _unserved;
    private readonly UnknownNotifications _unknownNotifications;
    private readonly WakeFailures _failures;
    // Written under the mutex of the requests.
    private Thread? _thread;

    public WakeDispatcher(PooledStatements statements, LockDispatcher dispatcher, ForeignInternalLocks internalLocks, JobLocksOptions options, ILogger log)
    {
        _statements = statements;
        _dispatcher = dispatcher;
        _sweepInterval = options.SweepInterval;
        _requests = new() { OnRequested = StartThread };
        _failures = new(dispatcher.Server, options.SweepInterval, log);
        _waker = new(statements, _stores, _requests, _failures, options.WakeTimeout, log);
        _caller = new(statements, _stores, _waker, _requests, options.LargestWaitingShare);
        _unserved = new(statements, options, log);
        Presence = new(dispatcher, log);
        _leadership = new(dispatcher, internalLocks);
        var sweep = new WaitQueueSweep(
            statements, dispatcher, _leadership, _stores, _waker, _requests, _unserved, new(statements, _waker, _unserved, options, log), options, log);
        _storeSweep = new(_stores, Presence, sweep, new(statements, _waker, log), _waker, _failures, dispatcher, log);
        _unknownNotifications = new(log);
    }

    /// <summary>The runs that this process woke itself, or whose deferred wake it claimed.</summary>
    public LocallyWokenRuns LocallyWoken => _waker.LocallyWoken;

    /// <summary>The runs whose wakes this process has claimed and that are not known to have started.</summary>
    public PendingWakes PendingWakes => _waker.PendingWakes;

    /// <summary>The runs that this process has parked.</summary>
    public LocallyParkedRuns LocallyParked => _waker.LocallyParked;

    /// <summary>The wakes of runs that stay in their workers.</summary>
    public InWorkerWakes InWorkers => _waker.InWorkers;

    /// <summary>The runs that have started here and whose entries could not be removed.</summary>
    public StartedRuns StartedRuns { get; } = new();

    /// <summary>The stores for which this process can start runs.</summary>
    public StorePresence Presence { get; }

    /// <summary>Whether this process sweeps for a store.</summary>
    public bool IsSweeping => _leadership.LeadsAny;

    /// <summary>Whether waking or sweeping failed recently, in the wait queue or in a job store: runs may wait for a lock that is free.</summary>
    public bool IsBroken => _failures.AreRecent;

    /// <summary>
    /// Makes a store known: from now on this process wakes its runs while a scheduler of this process can start them. A second call makes the dispatcher check
    /// that at once.
    /// </summary>
    public void AddStore(IRunStore store)
    {
        _stores.Add(store);
        store.WorkerFreed = _requests.WorkerFreed;
        _requests.AddSweep();
    }

    /// <summary>The store is closed in this process. Other processes may continue with it.</summary>
    public void RemoveStore(IRunStore store)
    {
        if (!_stores.Remove(store, out var earlierIds) || store.Id is not { } id) return;

        foreach (var knownId in earlierIds.Append(id).Distinct(StringComparer.Ordinal))
        {
            // Another scheduler of this process may have the same store.
            if (_stores.Find(knownId) is not null) continue;

            _storeSweep.Leave(knownId);
            LocallyParked.Forget(knownId);
        }

        if (VolatileStore.Is(id)) RemoveEntriesOf(id);
    }

    /// <summary>Whether this store was closed in this process. One of its runs may still be about to enter the wait queue.</summary>
    public bool IsClosed(string store) => _stores.WasRemoved(store);

    /// <summary>The store with this id; null where this process does not know it.</summary>
    public IRunStore? FindStore(string id) => _stores.Find(id);

    /// <summary>
    /// Locks with waiters were released. The release is signalled directly to a run that waits in a worker of this process: no statement is needed to wake it. Returns at once.
    /// </summary>
    public void OnReleased(IReadOnlyList<FreeKey> keys)
    {
        var others = keys.Where(free => !InWorkers.Local.TrySignalFree(free.Key)).ToList();
        if (others.Count < keys.Count) _requests.CancelCalls(keys);
        if (others.Count > 0) RequestWakes(others);
    }

    /// <summary>Requests that waiters of these keys are woken: at least one of them can run now. Returns at once.</summary>
    public void RequestWakes(IReadOnlyList<FreeKey> keys) => _requests.Add(keys);

    /// <summary>Requests the delivery of the wake of this entry, which may not be delivered yet. Returns at once.</summary>
    public void RequestDelivery(long entry) => _requests.AddEntry(entry);

    /// <summary>Requests a call of the next run of a key. A release of the key in the meantime cancels it. Returns at once.</summary>
    public void RequestCall(LockKey key, TimeSpan after) => _requests.AddCall(key, BootClock.Now + after);

    /// <summary>Handles a notification of another process: the entry number of a woken run, and its store.</summary>
    /// <param name="payload">The payload. Every database role can send one, so it may have any form.</param>
    /// <param name="backend">The process id of the server backend that sent it.</param>
    public void OnNotification(string payload, int backend)
    {
        var separator = payload.IndexOf(' ', StringComparison.Ordinal);
        if (separator < 0 || !long.TryParse(payload.AsSpan(0, separator), CultureInfo.InvariantCulture, out var entry)) _unknownNotifications.Add(payload, backend);
        else if (FindStore(payload[(separator + 1)..]) is not { } store) return;
        else if (entry == Notifications.NoEntry) store.RequeryStore();
        else if (entry < 0) InWorkers.Local.ReadAgain(-entry);
        else _requests.AddNotified(entry);
    }

    public void Dispose()
    {
        _requests.Close();
        _thread?.Join(LongestJoin);
        _unknownNotifications.Dispose();
        // No other process can start the runs of a store in the memory of this process, so their entries are removed.
        if (_dispatcher.Sessions.Capabilities.HasWaitQueue == true)
        {
            foreach (var store in _stores.All) if (store.Id is { } id && VolatileStore.Is(id)) RemoveEntriesOf(id);
        }

        _statements.Dispose();
    }

    private void StartThread() => _thread ??= DedicatedThread.Start("JobLocks wait queue", RunLoop);

    private void RunLoop()
    {
        var sweepAt = BootClock.Now + _sweepInterval;
        while (_requests.WaitForNext(() => _stores.Any ? AtLeastZero(sweepAt - BootClock.Now) : Timeout.InfiniteTimeSpan) is { } next)
        {
            if (next.IsSweepRequested) sweepAt = BootClock.Now;
            _failures.Try(() => _waker.Wake(_requests.TakeFreeKeys()));
            if (next.Calls.Count > 0) _failures.Try(() => _caller.Call(next.Calls));
            if (next.Entries.Length > 0) _failures.Try(() => _waker.DeliverWakes(next.Entries));
            if (next.DeliversDeferred) _failures.Try(_waker.DeliverDeferredWakes);
            if (BootClock.Now < sweepAt) continue;

            if (_dispatcher.Sessions.Capabilities.HasWaitQueue == true) _failures.Try(() => StartedRuns.RemoveEntries(_stores, _waker));

            // A random interval, so that not all processes sweep at the same moment.
            sweepAt = BootClock.Now + (_sweepInterval * (0.9 + (0.2 * Random.Shared.NextDouble())));
            foreach (var store in _stores.All) _failures.Try(() => _storeSweep.Sweep(store));
        }
    }

    /// <summary>
    /// Removes the entries of a store whose runs end with it. Waits for the server, but not for long: otherwise a sweep removes the entries later.
    /// </summary>
    private void RemoveEntriesOf(string store)
    {
        var removal = Task.Factory.StartNew(() => _failures.Try(() => _unserved.RemoveEntries(store)), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        Blocking.TryWait(removal, LongestRemoval, CancellationToken.None);
    }

    private static TimeSpan AtLeastZero(TimeSpan time) => time > TimeSpan.Zero ? time : TimeSpan.Zero;
}
