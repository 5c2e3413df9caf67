using System.Globalization;
using JobLocks.Diagnostics;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.Reading;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Wakes the next ones, on a thread of its own: when a lock is released, when another process says so, and when a sweep finds what was missed.
/// Thread-safe.
/// </summary>
internal sealed partial class WakeDispatcher : IDisposable
{
    // More notifications than that at once are a flood: a statement for each of its places would hold up the wake of a run.
    private const int MostHeard = 1000;

    private static readonly TimeSpan LongestEnd = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan LongestBurial = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan ShortestFailure = TimeSpan.FromSeconds(5);

    private readonly object _sync = new();
    private readonly WaitQueueStatements _statements;
    private readonly LockDispatcher _dispatcher;
    private readonly WaitQueueSweep _sweep;
    private readonly TimeSpan _sweepInterval;
    private readonly ILogger _log;
    private readonly ServedStores _stores = new();
    private readonly StorePresence _presence;
    private readonly UnservedStores _unserved;
    private readonly UnknownNotifications _unknownNews;
    private readonly RecentFailure _failure;
    private readonly RestoredEntries _restored;
    // Earlier names of stores under which places may still stand. Used by the thread alone.
    private readonly HashSet<string> _toRename = new(StringComparer.Ordinal);

    private Dictionary<LockKey, int> _keys = [];
    private HashSet<long> _places = [];
    private Thread? _thread;
    private bool _isClosed;
    private bool _hasNews;
    private bool _isFreed;
    private volatile bool _isDeferred;

    public WakeDispatcher(WaitQueueStatements statements, LockDispatcher dispatcher, InternalLocks internalLocks, JobLocksOptions options, ILogger log)
    {
        _statements = statements;
        _dispatcher = dispatcher;
        _sweepInterval = options.SweepInterval;
        _log = log;
        _presence = new(dispatcher, log);
        _unknownNews = new(log);
        _failure = new(options.SweepInterval * 3 > ShortestFailure ? options.SweepInterval * 3 : ShortestFailure);
        _unserved = new(statements, options, log);
        _restored = new(statements, this, log);
        _sweep = new(statements, dispatcher, new(dispatcher, internalLocks), this, _unserved, new(statements, this, _unserved, options, log), options, log);
    }

    /// <summary>Those that were woken from here.</summary>
    public LocallyWokenRuns Woken { get; } = new();

    /// <summary>Those that were woken from here and are not known to have begun.</summary>
    public PendingWakes PendingWakes { get; } = new();

    /// <summary>Those that were parked from here.</summary>
    public LocallyParkedRuns Parked { get; } = new();

    /// <summary>For which stores this process can start runs.</summary>
    public StorePresence Presence => _presence;

    /// <summary>Whether a statement about waiting runs has failed lately: runs may wait for a lock that is free.</summary>
    public bool IsBroken => _failure.IsRecent;

    /// <summary>Has runs of a store woken from here. Called again, it looks at once whether a scheduler here can start them.</summary>
    public void Serve(IRunStore store)
    {
        _stores.Add(store);
        store.WorkerFreed = Freed;
        lock (_sync)
        {
            _hasNews = true;
            Start();
        }
    }

    /// <summary>A store is closed here: other processes may go on with it.</summary>
    public void Forget(IRunStore store)
    {
        if (!_stores.Remove(store, out var earlier) || store.Id is not { } id) return;

        foreach (var name in earlier.Append(id).Distinct(StringComparer.Ordinal))
        {
            _sweep.Forget(name);
            _presence.Hide(name);
            Parked.Forget(name);
        }

        if (VolatileStore.Is(id)) Bury(id);
    }

    /// <summary>Whether runs of this store are woken from here.</summary>
    public bool Serves(string store) => StoreOf(store) is not null;

    /// <summary>Whether this store was closed here. A run of it may still be on its way into the wait queue.</summary>
    public bool IsClosed(string store) => _stores.WasRemoved(store);

    /// <summary>The store of this name; null where this process does not work on it.</summary>
    public IRunStore? StoreOf(string store) => _stores.Find(store);

    /// <summary>Somebody may run now of those who wait for these keys. Waits for nothing.</summary>
    public void TurnCame(IReadOnlyList<FreeKey> keys)
    {
        lock (_sync)
        {
            // Of a limit, each of several that let go makes room for one.
            foreach (var (key, free, _) in keys) _keys[key] = _keys.GetValueOrDefault(key) + free;
            Start();
        }
    }

    /// <summary>The turn of this place has come, and its store may not know yet. Waits for nothing.</summary>
    public void Tell(long place)
    {
        lock (_sync)
        {
            _places.Add(place);
            Start();
        }
    }

    /// <summary>The same where only a notification says so. Of very many at once, none is looked up by itself: all runs that are to be told are found together.</summary>
    private void TellHeard(long place)
    {
        lock (_sync)
        {
            if (_places.Count < MostHeard) _places.Add(place);
            else _isFreed = _isDeferred = true;
            Start();
        }
    }

    /// <summary>A worker of this process has become free. Waits for nothing.</summary>
    private void Freed()
    {
        if (!_isDeferred) return;

        lock (_sync)
        {
            _isFreed = true;
            Start();
        }
    }

    /// <summary>What another process says: the place whose turn has come, and its store.</summary>
    /// <param name="said">The payload. Every role may send one.</param>
    /// <param name="backend">The server's process behind the session that sent it.</param>
    public void Hear(string said, int backend)
    {
        var store = said.IndexOf(' ', StringComparison.Ordinal);
        if (store < 0 || !long.TryParse(said.AsSpan(0, store), CultureInfo.InvariantCulture, out var place)) _unknownNews.Add(said, backend);
        else if (StoreOf(said[(store + 1)..]) is { } served) Hear(place, served);
    }

    private void Hear(long place, IRunStore store)
    {
        if (place == NoPlace) store.LookAgain();
        else TellHeard(place);
    }

    public void Dispose()
    {
        lock (_sync)
        {
            _isClosed = true;
            Monitor.PulseAll(_sync);
        }

        _thread?.Join(LongestEnd);
        _unknownNews.Dispose();
        // Without these locks, no other process can start the runs of a store in memory.
        if (_dispatcher.HasWaitQueue == true)
        {
            foreach (var store in _stores.All) if (store.Id is { } id && VolatileStore.Is(id)) Bury(id);
        }

        _statements.Dispose();
    }

    /// <summary>Behind the door.</summary>
    private void Start()
    {
        if (_isClosed) return;

        Monitor.PulseAll(_sync);
        _thread ??= SessionThread.Start("JobLocks line", Watch);
    }

    private void Watch()
    {
        var sweepAt = BootClock.Now + _sweepInterval;
        while (true)
        {
            long[] places;
            bool isFreed;
            lock (_sync)
            {
                while (!_isClosed && !_hasNews && !_isFreed && _keys.Count + _places.Count == 0 && (!_stores.Any || BootClock.Now < sweepAt))
                    Monitor.Wait(_sync, !_stores.Any ? Timeout.InfiniteTimeSpan : Shorter(sweepAt - BootClock.Now));
                if (_isClosed) return;

                if (_hasNews) sweepAt = BootClock.Now;
                (isFreed, _isFreed, _hasNews) = (_isFreed, false, false);
                (places, _places) = ([.. _places], []);
            }

            if (TakeKeys() is { Count: > 0 } keys) Try(() => Wake(keys));
            if (places.Length > 0) Try(() => TellThose(places));
            if (isFreed) Try(TellDeferred);
            if (BootClock.Now < sweepAt) continue;

            // Not all processes at the same moment.
            sweepAt = BootClock.Now + (_sweepInterval * (0.9 + (0.2 * Random.Shared.NextDouble())));
            foreach (var store in _stores.All) Try(() => Sweep(store));
        }
    }

    /// <summary>The runs in it are gone with it. Waits for the server, but not for long: without this, the places are removed later.</summary>
    private void Bury(string store)
    {
        var buried = Task.Factory.StartNew(() => Try(() => _unserved.Bury(store)), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        Blocking.TryWait(buried, LongestBurial, CancellationToken.None);
    }

    /// <summary>A store for which no scheduler works here is left to others.</summary>
    private void Sweep(IRunStore store)
    {
        var id = Blocking.Wait(store.IdentifyAsync(CancellationToken.None).AsTask());
        var earlier = _stores.Rename(store, id, out var isNew);
        if (isNew)
        {
            _toRename.Add(earlier[^1]);
            _log.Renamed(DisplayText.Name(earlier[^1]), DisplayText.Name(id));
        }

        // A run that took its place meanwhile did so under the name that it knew.
        foreach (var name in earlier.Where(name => _toRename.Contains(name) || _presence.Shows(name))) Rename(name, id);
        var canStart = Blocking.Wait(store.CanStartRunsAsync(CancellationToken.None).AsTask());
        // Other processes remove the entries of a store in memory while no scheduler here can start its runs: do not put them back.
        if (_dispatcher.HasWaitQueue == true && (canStart || !VolatileStore.Is(id))) Try(() => _restored.Restore(store));
        if (canStart && Serves(id))
        {
            _presence.Show(id);
            // It was forgotten meanwhile.
            if (!Serves(id)) _presence.Hide(id);
            _sweep.Sweep(store);
            // Another run may have taken the worker that was free when a run was woken.
            var free = new FreeWorkers([store]);
            if (PendingWakes.LateQueues(id).Any(queue => !free.Serve(queue))) TryHaveOthersLook(id);
        }
        else
        {
            _presence.Hide(id);
            _sweep.Forget(id);
        }
    }

    /// <summary>The places go with the store, whatever it is called: it was restored, or another process has named it anew. Where that fails, the next sweep tries again.</summary>
    private void Rename(string before, string now)
    {
        _toRename.Add(before);
        _sweep.Forget(before);
        if (_dispatcher.HasWaitQueue != true) return;

        Run(SweepSql.Rename, new NpgsqlParameter<string> { TypedValue = before }, new NpgsqlParameter<string> { TypedValue = now });
        Parked.Rename(before, now);
        _toRename.Remove(before);
        // Last, since what is still shown is renamed again.
        _presence.Hide(before);
    }

    private static TimeSpan Shorter(TimeSpan left) => left > TimeSpan.Zero ? left : TimeSpan.Zero;

    private void Try(Action act)
    {
        try
        {
            act();
        }
        catch (Exception broken)
        {
            // What was missed is found by a sweep.
            Say(broken);
        }
    }

    /// <summary>Once, and not each second of an outage.</summary>
    private void Say(Exception broken)
    {
        if (!_failure.Add()) return;

        try
        {
            _log.LineFailed(_dispatcher.Server, broken);
        }
        catch (Exception)
        {
            // A logger that throws must not end the process of the jobs, as an exception on this thread would.
        }
    }
}
