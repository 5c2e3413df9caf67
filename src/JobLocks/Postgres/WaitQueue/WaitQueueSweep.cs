using JobLocks.Diagnostics;
using JobLocks.Locks;
using JobLocks.Postgres.Locks;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Finds what nobody told: a holder that died, a signal that was lost, a process that was killed between two acts, a run that was deleted by hand.
/// For each store in one process at a time. Used by the thread of the <see cref="WakeDispatcher"/> alone, but for <see cref="Forget"/>.
/// </summary>
internal sealed class WaitQueueSweep(
    WaitQueueStatements statements, LockDispatcher dispatcher, SweepLeadership leadership, WakeDispatcher watch, UnservedStores unserved, LostEntries lost, JobLocksOptions options, ILogger log)
{
    // Bounded, so that a sweep of a long line does not hold up those who are to be woken.
    private const int MostKeys = 10_000;
    private const int MostLooks = 100;

    private static readonly TimeSpan LongestLook = TimeSpan.FromSeconds(0.5);
    private static readonly TimeSpan BetweenClockLooks = TimeSpan.FromSeconds(5);

    private readonly Dictionary<string, long> _lookedUntil = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> _missedUntil = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TimeSpan> _clockAt = new(StringComparer.Ordinal);

    /// <summary>Looks once, if this process is the one that does.</summary>
    public void Sweep(IRunStore store)
    {
        var id = store.Id!;
        // Who sees no line must not keep those from sweeping who do. Whether there is one is known when a session is open, and that opens it.
        if (dispatcher.HasWaitQueue == false || !Leads(id) || dispatcher.HasWaitQueue != true)
        {
            Forget(id);
            if (dispatcher.HasWaitQueue == true) Overhear(id);
            return;
        }

        FollowClock(id);
        watch.Deliver(watch.Ask(SweepSql.WakeOverdue, Text(id)));
        TellForgotten(store);
        unserved.BuryOld();
        WakeUnderFreeKeys();
        LookAround(store);
        lost.Find(store);
    }

    /// <summary>Lets another process do it.</summary>
    public void Forget(string store) => leadership.Stop(store);

    /// <summary>The turn of one of its runs may come in a process that has no free worker for it.</summary>
    private void Overhear(string store)
    {
        if (Blocking.Wait(dispatcher.AskAsync(session => session.Ask<bool>(WaitQueueSql.For(options, SweepSql.HasRuns), store))) is not [true]) return;

        dispatcher.Listen();
        watch.TellForgotten(store, leads: false);
    }

    private bool Leads(string store)
    {
        if (!leadership.TryLead(store, watch.Serves, out var isNew)) return false;
        if (isNew) log.Leads(DisplayText.Name(store));
        return true;
    }

    /// <summary>At most every five seconds: the statement reads each limited wait of the store.</summary>
    private void FollowClock(string store)
    {
        if (_clockAt.TryGetValue(store, out var last) && BootClock.Now - last < BetweenClockLooks) return;

        watch.Run(SweepSql.SetBack, Text(store));
        _clockAt[store] = BootClock.Now;
    }

    private void TellForgotten(IRunStore store)
    {
        watch.TellForgotten(store.Id!, leads: true);
        var since = BootClock.Now;
        // A slow store leaves many behind. Those on their way to a busy worker are many as well, and are left in peace.
        while (LookAfter(store, Next(SweepSql.Missing, store.Id!, _missedUntil)) && BootClock.Now - since < LongestLook)
        {
        }
    }

    private void WakeUnderFreeKeys()
    {
        var from = long.MinValue;
        while (true)
        {
            // Of these, somebody has told: they are no find of this sweep. Before the look, or they would be in again, and the next would be woken for nothing.
            watch.WakeReleased();
            var heads = Blocking.Wait(statements.ReadAsync(
                SweepSql.Heads,
                static row => new QueueHead(new(row.GetInt64(0)), row.GetString(1), (LockMode)row.GetInt16(2), row.GetInt32(3), row.GetBoolean(4), row.GetBoolean(5)),
                blocks: true,
                CancellationToken.None,
                new NpgsqlParameter<int> { TypedValue = MostKeys },
                new NpgsqlParameter<long> { TypedValue = from }).AsTask());
            dispatcher.Meter.WokeBySweep(watch.Wake([.. FreeUnder(heads).Where(static free => free.Free > 0)]));
            if (heads.Count < MostKeys || heads[^1].Key.Value == long.MaxValue) return;

            from = heads[^1].Key.Value + 1;
        }
    }

    private IEnumerable<FreeKey> FreeUnder(IReadOnlyList<QueueHead> heads)
    {
        var free = heads.Where(static head => !head.IsLimited && head.Slots > 0)
            .Select(static head => new FreeKey(head.Key, (head.Mode == LockMode.Shared ? head.IsHeldAlone : head.IsHeld) ? 0 : 1));
        return free.Concat(heads.Where(static head => head.IsLimited).Chunk(MostLooks).SelectMany(FreeSlots));
    }

    private IEnumerable<FreeKey> FreeSlots(QueueHead[] heads)
    {
        var slots = heads.SelectMany(static (head, nth) => new LockRequest(head.Name, head.Key, head.Mode, head.Slots).Slots.Select(slot => (Nth: nth, Slot: slot.Value))).ToList();
        var held = Blocking.Wait(statements.ReadAsync(
            SweepSql.CountHeld,
            static row => (Nth: row.GetInt32(0), Count: row.GetInt32(1)),
            blocks: true,
            CancellationToken.None,
            new NpgsqlParameter<int[]> { TypedValue = [.. slots.Select(static one => one.Nth)] },
            new NpgsqlParameter<long[]> { TypedValue = [.. slots.Select(static one => one.Slot)] }).AsTask()).ToDictionary(static one => one.Nth, static one => one.Count);
        return heads.Select((head, nth) => new FreeKey(head.Key, head.Slots - held.GetValueOrDefault(nth), CountsWoken: true));
    }

    /// <summary>Asks the store after some of its runs, and goes on with the next ones at the next sweep.</summary>
    private void LookAround(IRunStore store)
    {
        var runs = Next(SweepSql.Next, store.Id!, _lookedUntil);
        // Whoever woke them may be another process, which tells us over this connection.
        if (runs.Count > 0) dispatcher.Listen();
        LookAfter(store, runs);
    }

    /// <summary>Some runs, and at the next sweep those behind them: however many never come, the others are seen too.</summary>
    private List<WaitingRun> Next(string sql, string store, Dictionary<string, long> until)
    {
        var runs = watch.Ask(sql, Text(store), new NpgsqlParameter<long> { TypedValue = until.GetValueOrDefault(store, long.MinValue) }, new NpgsqlParameter<int> { TypedValue = MostLooks });
        until[store] = runs.Count < MostLooks ? long.MinValue : runs[^1].Place;
        return runs;
    }

    /// <summary>Asks a store for the fates of some runs, and does what follows from them.</summary>
    /// <returns>Whether some of them had to be woken.</returns>
    private bool LookAfter(IRunStore store, List<WaitingRun> runs)
    {
        if (runs.Count == 0) return false;

        var fates = watch.FatesOf(runs, store.LookAsync).ToList();
        // Its process died after it had been parked, and before that was written down.
        foreach (var (run, _) in fates.Where(static of => of is { Fate: RunFate.Waits or RunFate.IsPutOff, Run.IsParked: false }))
        {
            watch.Run(EntrySql.WasParked, new NpgsqlParameter<long> { TypedValue = run.Place });
            watch.Tell(run.Place);
        }

        // Whoever was to wake them has died.
        var missed = fates.Where(static of => of is { Fate: RunFate.Waits or RunFate.IsPutOff, Run.IsOurs: true }).Select(static of => of.Run).ToList();
        watch.Deliver(missed);
        foreach (var gone in fates.Where(static of => of.Fate == RunFate.IsGone).GroupBy(static of => of.Run.IsOurs))
            watch.GiveUp([.. gone.Select(static of => of.Run)], wasTheirTurn: gone.Key);
        // The scheduler that was to start them has no free worker, or has not heard.
        if (fates.Exists(static of => of.Fate == RunFate.ComesElsewhere)) watch.TryHaveOthersLook(store.Id!);
        return missed.Count > 0;
    }

    private static NpgsqlParameter<string> Text(string value) => new NpgsqlParameter<string> { TypedValue = value };

    private readonly record struct QueueHead(LockKey Key, string Name, LockMode Mode, int Slots, bool IsHeld, bool IsHeldAlone)
    {
        public bool IsLimited => this is { Slots: > 1, Mode: LockMode.Exclusive };
    }
}
