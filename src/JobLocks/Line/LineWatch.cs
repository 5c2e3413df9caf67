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
internal sealed class LineWatch : IDisposable
{
    private static readonly TimeSpan LongestEnd = TimeSpan.FromSeconds(3);

    // Well below the five seconds after which a sweep takes it that a store was not told.
    private static readonly TimeSpan TellsWithin = TimeSpan.FromSeconds(3);

    // No more are claimed than a slow store can be told of within that time.
    private const int MostKeysAtOnce = 100;

    private readonly object _door = new();
    private readonly LineStatements _statements;
    private readonly LockDesk _desk;
    private readonly LineSweep _sweep;
    private readonly TimeSpan _sweepInterval;
    private readonly ILogger _log;
    private readonly Dictionary<string, IRunStore> _stores = new(StringComparer.Ordinal);
    private readonly List<IRunStore> _unknown = [];
    private Dictionary<LockKey, int> _keys = [];
    private HashSet<long> _places = [];
    private Thread? _thread;
    private bool _isClosed;
    private bool _isBroken;

    public LineWatch(LineStatements statements, LockDesk desk, JobLocksOptions options, ILogger log)
    {
        _statements = statements;
        _desk = desk;
        _sweepInterval = options.SweepInterval;
        _log = log;
        _sweep = new(statements, desk, this, new(statements, options, log), log);
    }

    /// <summary>Those that were woken from here.</summary>
    public WokenHere Woken { get; } = new();

    /// <summary>Those that were parked from here, in stores of this process alone.</summary>
    public ParkedHere Parked { get; } = new();

    /// <summary>Has runs of a store woken from here.</summary>
    public void Serve(IRunStore store)
    {
        lock (_door)
        {
            if (store.Id is { } id) _stores[id] = store;
            else if (!_unknown.Contains(store)) _unknown.Add(store);
            Start();
        }
    }

    /// <summary>A store is closed here: other processes may go on with it.</summary>
    public void Forget(IRunStore store)
    {
        lock (_door)
        {
            _unknown.Remove(store);
            if (store.Id is not { } id || !_stores.TryGetValue(id, out var served) || served != store) return;

            _stores.Remove(id);
        }

        _sweep.Forget(store.Id);
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
            _log.UnknownNews(Shown.Brief(said));
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

    /// <summary>Has all whose turn comes under these keys woken, whatever store they are in.</summary>
    /// <returns>How many.</returns>
    public int Wake(IReadOnlyList<FreeKey> keys)
    {
        var woken = 0;
        foreach (var some in keys.Chunk(MostKeysAtOnce))
        {
            woken += WakeSome(some);
            // Those under a name that was let go meanwhile do not wait for all of these.
            WakeReleased();
        }

        return woken;
    }

    /// <summary>The same for those under the keys that were let go of last.</summary>
    public void WakeReleased()
    {
        foreach (var released in TakeKeys().Chunk(MostKeysAtOnce)) WakeSome(released);
    }

    /// <summary>Tells the stores of runs whose turn has come: ours at once, others through their processes.</summary>
    public void Deliver(IReadOnlyList<WaitingRun> woken)
    {
        foreach (var runs in woken.Where(static run => run.IsOurs).GroupBy(static run => run.Address.Store, StringComparer.Ordinal))
        {
            // Few at a time, so that the first of ten thousand need not wait for the last.
            foreach (var some in runs.Chunk(100)) Deliver(StoreOf(runs.Key)!, some);
        }

        // One that is not parked yet is told by the process that parks it.
        var foreign = woken.Where(static run => run is { IsOurs: false, IsParked: true }).Select(static run => $"{run.Place} {run.Address.Store}").ToArray();
        if (foreign.Length > 0) Run(LineSql.Notify, new NpgsqlParameter<string[]> { TypedValue = foreign });
    }

    /// <summary>Gives up the places of runs that will not come.</summary>
    /// <param name="gone">Whose.</param>
    /// <param name="wasTheirTurn">Whether others may come instead.</param>
    public void GiveUp(IReadOnlyList<WaitingRun> gone, bool wasTheirTurn)
    {
        if (gone.Count == 0) return;

        foreach (var run in gone)
        {
            _log.GaveUp(Shown.Brief(run.Address.Run), Shown.Brief(run.Name));
            Parked.Remove(run.Place);
        }

        Run(LineSql.Leave, Places(gone));
        if (wasTheirTurn) Wake([.. gone.CountBy(static run => run.Key).Select(static of => new FreeKey(of.Key, of.Value))]);
    }

    /// <summary>Asks a store after its runs; where it cannot answer for all at once, one by one, so that one of them holds up no other.</summary>
    public IEnumerable<(WaitingRun Run, RunFate Fate)> FatesOf(
        IReadOnlyList<WaitingRun> runs, Func<IReadOnlyList<WaitingRun>, CancellationToken, ValueTask<IReadOnlyList<RunFate>>> ask)
    {
        try
        {
            return [.. runs.Zip(Blocking.Wait(ask(runs, CancellationToken.None).AsTask()))];
        }
        catch (Exception broken)
        {
            _log.StoreFailed(runs[0].Address.Store, runs.Count, broken);
            return runs.Count == 1 ? [] : runs.SelectMany(run => FatesOf([run], ask)).ToList();
        }
    }

    public List<WaitingRun> Ask(string sql, params NpgsqlParameter[] parameters)
    {
        var tellBy = BootClock.Now + TellsWithin;
        return Blocking.Wait(_statements.ReadAsync(sql, row => ReadRun(row, tellBy), blocks: true, CancellationToken.None, parameters).AsTask());
    }

    public void Run(string sql, params NpgsqlParameter[] parameters) =>
        Blocking.Wait(_statements.RunAsync(sql, blocks: true, CancellationToken.None, parameters).AsTask());

    private static NpgsqlParameter<long[]> Places(IEnumerable<WaitingRun> runs) => new() { TypedValue = [.. runs.Select(static run => run.Place)] };

    private static WaitingRun ReadRun(NpgsqlDataReader row, TimeSpan tellBy) => new(
        row.GetInt64(0), new(row.GetInt64(1)), row.GetString(2), new(row.GetString(3), row.GetString(4), row.GetString(5)), row.GetBoolean(6), row.GetBoolean(7), row.GetFieldValue<DateTimeOffset>(8))
    {
        TellBy = tellBy,
    };

    private IReadOnlyList<FreeKey> TakeKeys()
    {
        lock (_door)
        {
            var keys = _keys;
            if (keys.Count > 0) _keys = [];
            return [.. keys.Select(static of => new FreeKey(of.Key, of.Value))];
        }
    }

    private int WakeSome(FreeKey[] keys)
    {
        var woken = Ask(
            LineSql.Wake,
            new NpgsqlParameter<long[]> { TypedValue = [.. keys.Select(static free => free.Key.Value)] },
            new NpgsqlParameter<int[]> { TypedValue = [.. keys.Select(static free => free.Free)] },
            new NpgsqlParameter<bool[]> { TypedValue = [.. keys.Select(static free => free.CountsWoken)] },
            Stores());
        // Before they are told: a worker may be quicker than that.
        foreach (var run in woken.Where(static run => run.IsOurs)) Woken.Add(run);
        Deliver(woken);
        return woken.Count;
    }

    /// <summary>Who dies between the claim and this, or in the middle of it, has a sweep see to it.</summary>
    private void Deliver(IRunStore store, IReadOnlyList<WaitingRun> runs)
    {
        // Only the answer may have been lost: then they are woken, and once more would be once too often.
        var isFirst = true;
        async ValueTask<IReadOnlyList<RunFate>> WakeAsync(IReadOnlyList<WaitingRun> some, CancellationToken stop)
        {
            if (isFirst)
            {
                isFirst = false;
                return await store.WakeAsync(some, stop).ConfigureAwait(false);
            }

            var fates = await store.LookAsync(some, stop).ConfigureAwait(false);
            return fates is [RunFate.Waits] && !some[0].IsTooLate ? await store.WakeAsync(some, stop).ConfigureAwait(false) : fates;
        }

        GiveUp([.. FatesOf(runs, WakeAsync).Where(static run => run.Fate == RunFate.IsGone).Select(static run => run.Run)], wasTheirTurn: true);
    }

    private NpgsqlParameter<string[]> Stores()
    {
        lock (_door) return new() { TypedValue = [.. _stores.Keys.Concat(_unknown.Select(static store => store.Id).OfType<string>())] };
    }

    private bool Sweeps => _stores.Count + _unknown.Count > 0;

    /// <summary>One that got its name since it was last asked for it is ours as well.</summary>
    private IRunStore? StoreOf(string id)
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
            IRunStore[] stores;
            IRunStore[] unknown;
            lock (_door)
            {
                while (!_isClosed && _keys.Count + _places.Count == 0 && (!Sweeps || BootClock.Now < sweepAt))
                    Monitor.Wait(_door, !Sweeps ? Timeout.InfiniteTimeSpan : Shorter(sweepAt - BootClock.Now));
                if (_isClosed) return;

                (places, _places) = ([.. _places], []);
                stores = [.. _stores.Values];
                unknown = [.. _unknown];
            }

            if (TakeKeys() is { Count: > 0 } keys) Try(() => Wake(keys));
            if (places.Length > 0) Try(() => Deliver(Ask(LineSql.Tell, new NpgsqlParameter<long[]> { TypedValue = places }, Stores())));
            if (BootClock.Now < sweepAt) continue;

            // Not all processes at the same moment.
            sweepAt = BootClock.Now + (_sweepInterval * (0.9 + (0.2 * Random.Shared.NextDouble())));
            foreach (var store in stores) Try(() => _sweep.Sweep(store));
            foreach (var store in unknown) Try(() => Identify(store));
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
