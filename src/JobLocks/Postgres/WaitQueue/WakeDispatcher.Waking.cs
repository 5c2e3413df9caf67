using System.Text;
using JobLocks.Diagnostics;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <content>Chooses those whose turn comes, and tells their stores.</content>
internal sealed partial class WakeDispatcher
{
    private const int LongestPayload = 7999;
    private const long NoPlace = 0;

    // No more are claimed than a slow store can be told of in time.
    private const int MostKeysAtOnce = 100;

    // Well below the five seconds after which a sweep takes it that a store was not told.
    private static readonly TimeSpan TellsWithin = TimeSpan.FromSeconds(3);

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
        PendingWakes.Add(woken.Where(static run => run.IsOurs));
        foreach (var runs in woken.Where(static run => run.IsOurs).GroupBy(static run => run.Address.Store, StringComparer.Ordinal))
        {
            // Few at a time, so that the first of ten thousand need not wait for the last.
            foreach (var some in runs.Chunk(100)) Deliver(StoreOf(runs.Key)!, some);
        }

        // One that is not parked yet is told by the process that parks it.
        var foreign = woken.Where(static run => run is { IsOurs: false, IsParked: true }).Select(static run => $"{run.Place} {run.Address.Store}")
            // PostgreSQL refuses a longer one. The process that serves such a store finds the run in its sweep.
            .Where(static news => Encoding.UTF8.GetByteCount(news) <= LongestPayload)
            .ToArray();
        if (foreign.Length > 0) Run(WakeSql.Notify, new NpgsqlParameter<string[]> { TypedValue = foreign });
    }

    /// <summary>Tells a store of the runs whose turn came a while ago.</summary>
    /// <param name="store">Which.</param>
    /// <param name="leads">Whether this process does so in the end even if it has no free worker.</param>
    public void TellForgotten(string store, bool leads) =>
        Deliver(Ask(SweepSql.TellForgotten, [Text(store), new NpgsqlParameter<bool> { TypedValue = leads }, .. Free(_stores.Free)]));

    /// <summary>Gives up the places of runs that will not come.</summary>
    /// <param name="gone">Whose.</param>
    /// <param name="wasTheirTurn">Whether others may come instead.</param>
    public void GiveUp(IReadOnlyList<WaitingRun> gone, bool wasTheirTurn)
    {
        if (gone.Count == 0) return;

        foreach (var run in gone)
        {
            _log.GaveUp(DisplayText.Name(run.Address.Run), DisplayText.Name(run.Name));
            Parked.Remove(run.Place);
        }

        Run(EntrySql.Leave, Places(gone));
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
            _log.StoreFailed(DisplayText.Name(runs[0].Address.Store), runs.Count, broken);
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

    private static NpgsqlParameter<string> Text(string value) => new() { TypedValue = value };

    private static NpgsqlParameter<long[]> Places(IEnumerable<WaitingRun> runs) => new() { TypedValue = [.. runs.Select(static run => run.Place)] };

    public static WaitingRun ReadRun(NpgsqlDataReader row, TimeSpan tellBy) => new(
        row.GetInt64(0), new(row.GetInt64(1)), row.GetString(2), new(row.GetString(3), row.GetString(4), row.GetString(5)), row.GetBoolean(6), row.GetBoolean(7), row.GetFieldValue<DateTimeOffset>(8))
    {
        Waited = TimeSpan.FromSeconds(row.GetDouble(9)),
        TellBy = tellBy,
    };

    private IReadOnlyList<FreeKey> TakeKeys()
    {
        lock (_sync)
        {
            var keys = _keys;
            if (keys.Count > 0) _keys = [];
            return [.. keys.Select(static of => new FreeKey(of.Key, of.Value))];
        }
    }

    private int WakeSome(FreeKey[] keys)
    {
        var woken = Ask(
            WakeSql.Wake,
            [
                new NpgsqlParameter<long[]> { TypedValue = [.. keys.Select(static free => free.Key.Value)] },
                new NpgsqlParameter<int[]> { TypedValue = [.. keys.Select(static free => free.Free)] },
                new NpgsqlParameter<bool[]> { TypedValue = [.. keys.Select(static free => free.CountsWoken)] },
                .. Free(_stores.Free),
            ]);
        // Before they are told: a worker may be quicker than that.
        foreach (var run in woken.Where(static run => run.IsOurs)) Woken.Add(run);
        Deliver(woken);
        if (woken.Exists(run => run is { IsOurs: false, IsParked: true } && Serves(run.Address.Store))) Defer();
        return woken.Count;
    }

    /// <summary>Has a store start some runs. Where it fails, some of them may have been started all the same: it is asked before one is tried again.</summary>
    public List<(WaitingRun Run, RunFate Fate)> WakeOnce(IRunStore store, IReadOnlyList<WaitingRun> runs)
    {
        var isFirst = true;
        async ValueTask<IReadOnlyList<RunFate>> WakeAsync(IReadOnlyList<WaitingRun> some, CancellationToken stop)
        {
            if (isFirst)
            {
                isFirst = false;
                return await store.WakeAsync(some, stop).ConfigureAwait(false);
            }

            var fates = await store.LookAsync(some, stop).ConfigureAwait(false);
            return fates is [RunFate.Waits or RunFate.IsPutOff] && !some[0].IsTooLate ? await store.WakeAsync(some, stop).ConfigureAwait(false) : fates;
        }

        return [.. FatesOf(runs, WakeAsync)];
    }

    /// <summary>Who dies between the acquire and this, or in the middle of it, has a sweep see to it.</summary>
    private void Deliver(IRunStore store, WaitingRun[] runs)
    {
        var woken = WakeOnce(store, runs);
        foreach (var (run, _) in woken.Where(static run => run.Fate != RunFate.Comes)) PendingWakes.Remove(run.Place);
        if (woken.Exists(static run => run.Fate == RunFate.ComesElsewhere)) HaveOthersLook(runs[0].Address.Store);
        GiveUp([.. woken.Where(static run => run.Fate == RunFate.IsGone).Select(static run => run.Run)], wasTheirTurn: true);
        LetPast([.. woken.Where(static run => run.Fate == RunFate.IsHeldBack).Select(static run => run.Run)]);
    }

    /// <summary>Has the schedulers of other processes look into a store: one of them has to start a run that was woken here.</summary>
    public void HaveOthersLook(string store)
    {
        // In the form of a turn, at a place that there is not: a process of an earlier version finds nothing to do.
        var look = $"{NoPlace} {store}";
        if (Encoding.UTF8.GetByteCount(look) <= LongestPayload) Run(WakeSql.Notify, new NpgsqlParameter<string[]> { TypedValue = [look] });
    }

    /// <summary>The same for a sweep, which goes on where PostgreSQL has no room for a notification.</summary>
    public void TryHaveOthersLook(string store) => Try(() => HaveOthersLook(store));

    /// <summary>Lets the next runs past those that a person holds back in their store.</summary>
    private void LetPast(IReadOnlyList<WaitingRun> heldBack)
    {
        if (heldBack.Count == 0) return;

        var keys = Blocking.Wait(_statements.ReadAsync(WakeSql.EndTurn, static row => new LockKey(row.GetInt64(0)), blocks: true, CancellationToken.None, Places(heldBack)).AsTask());
        Wake([.. keys.CountBy(static key => key).Select(static of => new FreeKey(of.Key, of.Value))]);
    }

    private void TellThose(long[] places)
    {
        var runs = Ask(WakeSql.Tell, [new NpgsqlParameter<long[]> { TypedValue = places }, .. Free(_stores.Free)]);
        Deliver(runs);
        if (runs.Count < places.Length) Defer();
    }

    /// <summary>What was left to others, or for when a worker is free here.</summary>
    private void TellDeferred()
    {
        if (_stores.Free is not { Any: true } free) return;

        var tellBy = BootClock.Now + TellsWithin;
        var runs = Blocking.Wait(_statements.ReadAsync(
            WakeSql.TellDeferred, row => (Run: ReadRun(row, tellBy), HasVerdict: row.GetBoolean(10)), blocks: true, CancellationToken.None, Free(free)).AsTask());
        if (runs.Count == 0 && !AnyUntold(free)) _isDeferred = false;
        // A verdict is looked up.
        foreach (var (run, _) in runs.Where(static of => !of.HasVerdict)) Woken.Add(run);
        Deliver([.. runs.Select(static of => of.Run)]);
    }

    /// <summary>Whether some are left for when the wakes under way have become runs, and a worker is free again.</summary>
    private bool AnyUntold(FreeWorkers free) =>
        Blocking.Wait(_statements.ReadAsync(WakeSql.AnyUntold, static row => row.GetBoolean(0), blocks: true, CancellationToken.None, free.Parameters([])[0]).AsTask()) is [true];

    /// <summary>Leaves wakes to the first process with a free worker, which may be this one.</summary>
    private void Defer()
    {
        _isDeferred = true;
        // One may have become free since that was asked.
        if (_stores.Free.Any) Freed();
    }

    private NpgsqlParameter[] Free(FreeWorkers free)
    {
        if (PendingWakes.AreMany)
        {
            var asked = PendingWakes.Places;
            var waiting = Blocking.Wait(_statements.ReadAsync(
                WakeSql.PendingWakes, static row => row.GetInt64(0), blocks: true, CancellationToken.None, new NpgsqlParameter<long[]> { TypedValue = asked }).AsTask());
            PendingWakes.Keep(asked, waiting.ToHashSet());
        }

        return free.Parameters(PendingWakes.Places);
    }
}
