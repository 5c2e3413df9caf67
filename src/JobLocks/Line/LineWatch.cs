using System.Globalization;
using JobLocks.Diagnostics;
using JobLocks.Inspection;
using JobLocks.Postgres;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Line;

/// <summary>
/// Wakes the next ones, on a thread of its own: when a lock is released, when another process says so, and when a sweep finds what was missed.
/// Thread-safe.
/// </summary>
internal sealed partial class LineWatch : IDisposable
{
    private static readonly TimeSpan LongestEnd = TimeSpan.FromSeconds(3);
    private static readonly TimeSpan LongestBurial = TimeSpan.FromSeconds(1);

    private readonly object _door = new();
    private readonly LineStatements _statements;
    private readonly LockDesk _desk;
    private readonly LineSweep _sweep;
    private readonly TimeSpan _sweepInterval;
    private readonly ILogger _log;
    private readonly Dictionary<string, IRunStore> _stores = new(StringComparer.Ordinal);
    private readonly List<IRunStore> _unknown = [];
    private readonly StorePresence _presence;
    private readonly UnservedStores _unserved;
    private Dictionary<LockKey, int> _keys = [];
    private HashSet<long> _places = [];
    private Thread? _thread;
    private bool _isClosed;
    private bool _isBroken;
    private bool _hasNews;

    public LineWatch(LineStatements statements, LockDesk desk, JobLocksOptions options, ILogger log)
    {
        _statements = statements;
        _desk = desk;
        _sweepInterval = options.SweepInterval;
        _log = log;
        _presence = new(desk, log);
        _unserved = new(statements, options, log);
        _sweep = new(statements, desk, this, _unserved, log);
    }

    /// <summary>Those that were woken from here.</summary>
    public WokenHere Woken { get; } = new();

    /// <summary>Those that were parked from here, in stores of this process alone.</summary>
    public ParkedHere Parked { get; } = new();

    /// <summary>For which stores this process can start runs.</summary>
    public StorePresence Presence => _presence;

    /// <summary>Has runs of a store woken from here. Called again, it looks at once whether a scheduler here can start them.</summary>
    public void Serve(IRunStore store)
    {
        lock (_door)
        {
            if (store.Id is { } id) _stores[id] = store;
            else if (!_unknown.Contains(store)) _unknown.Add(store);
            _hasNews = true;
            Start();
        }
    }

    /// <summary>A store is closed here: other processes may go on with it.</summary>
    public void Forget(IRunStore store)
    {
        lock (_door)
        {
            _unknown.Remove(store);
            if (store.Id is not { } known || !_stores.TryGetValue(known, out var served) || served != store) return;

            _stores.Remove(known);
        }

        var id = store.Id;
        _sweep.Forget(id);
        _presence.Hide(id);
        if (UnservedStores.IsVolatile(id)) Bury(id);
    }

    /// <summary>Whether runs of this store are woken from here.</summary>
    public bool Serves(string store) => StoreOf(store) is not null;

    /// <summary>Somebody may run now of those who wait for these keys. Waits for nothing.</summary>
    public void TurnCame(IReadOnlyList<FreeKey> keys)
    {
        lock (_door)
        {
            // Of a limit, each of several that let go makes room for one.
            foreach (var (key, free, _) in keys) _keys[key] = _keys.GetValueOrDefault(key) + free;
            Start();
        }
    }

    /// <summary>The turn of this place has come, and its store may not know yet. Waits for nothing.</summary>
    public void Tell(long place)
    {
        lock (_door)
        {
            _places.Add(place);
            Start();
        }
    }

    /// <summary>What another process says: the place whose turn has come, and its store.</summary>
    public void Hear(string said)
    {
        var store = said.IndexOf(' ', StringComparison.Ordinal);
        if (store < 0 || !long.TryParse(said.AsSpan(0, store), CultureInfo.InvariantCulture, out var place))
        {
            _log.UnknownNews(Shown.Name(said));
            return;
        }

        if (StoreOf(said[(store + 1)..]) is not null) Tell(place);
    }

    public void Dispose()
    {
        lock (_door)
        {
            _isClosed = true;
            Monitor.PulseAll(_door);
        }

        _thread?.Join(LongestEnd);
        _statements.Dispose();
    }

    private bool Sweeps => _stores.Count + _unknown.Count > 0;

    /// <summary>The store of this name, if this process works on it. One that got its name since it was last asked for it is ours as well.</summary>
    public IRunStore? StoreOf(string id)
    {
        lock (_door) return _stores.GetValueOrDefault(id) ?? _unknown.Find(store => string.Equals(store.Id, id, StringComparison.Ordinal));
    }

    /// <summary>Behind the door.</summary>
    private void Start()
    {
        if (_isClosed) return;

        Monitor.PulseAll(_door);
        _thread ??= SessionThread.Start("JobLocks line", Watch);
    }

    private void Watch()
    {
        var sweepAt = BootClock.Now + _sweepInterval;
        while (true)
        {
            long[] places;
            IRunStore[] unknown;
            lock (_door)
            {
                while (!_isClosed && !_hasNews && _keys.Count + _places.Count == 0 && (!Sweeps || BootClock.Now < sweepAt))
                    Monitor.Wait(_door, !Sweeps ? Timeout.InfiniteTimeSpan : Shorter(sweepAt - BootClock.Now));
                if (_isClosed) return;

                if (_hasNews) sweepAt = BootClock.Now;
                _hasNews = false;
                (places, _places) = ([.. _places], []);
                unknown = [.. _unknown];
            }

            if (TakeKeys() is { Count: > 0 } keys) Try(() => Wake(keys));
            if (places.Length > 0) Try(() => Deliver(Ask(LineSql.Tell, new NpgsqlParameter<long[]> { TypedValue = places }, Stores())));
            if (BootClock.Now < sweepAt) continue;

            // Not all processes at the same moment.
            sweepAt = BootClock.Now + (_sweepInterval * (0.9 + (0.2 * Random.Shared.NextDouble())));
            foreach (var store in unknown) Try(() => Identify(store));
            foreach (var store in Known()) Try(() => Sweep(store));
        }
    }

    private IRunStore[] Known()
    {
        lock (_door) return [.. _stores.Values];
    }

    /// <summary>The runs in it are gone with it. Waits for the server, but not for long: without this, the places are removed later.</summary>
    private void Bury(string store)
    {
        var buried = Task.Factory.StartNew(() => Try(() => _unserved.Bury(store)), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        Blocking.TryWait(buried, LongestBurial, CancellationToken.None);
    }

    /// <summary>For whom no scheduler works here, others sweep.</summary>
    private void Sweep(IRunStore store)
    {
        var id = store.Id!;
        if (Blocking.Wait(store.CanStartRunsAsync(CancellationToken.None).AsTask()) && Serves(id))
        {
            _presence.Show(id);
            // It was forgotten meanwhile.
            if (!Serves(id)) _presence.Hide(id);
            _sweep.Sweep(store);
        }
        else
        {
            _presence.Hide(id);
            _sweep.Forget(id);
        }
    }

    private void Identify(IRunStore store)
    {
        Blocking.Wait(store.IdentifyAsync(CancellationToken.None).AsTask());
        lock (_door)
        {
            if (_unknown.Remove(store)) _stores[store.Id!] = store;
        }
    }

    private static TimeSpan Shorter(TimeSpan left) => left > TimeSpan.Zero ? left : TimeSpan.Zero;

    private void Try(Action act)
    {
        try
        {
            act();
            _isBroken = false;
        }
        catch (Exception broken)
        {
            // What was missed is found by a sweep. Said once, and not each second of an outage.
            if (!_isBroken) _log.LineFailed(_desk.Server, broken);
            _isBroken = true;
        }
    }
}
