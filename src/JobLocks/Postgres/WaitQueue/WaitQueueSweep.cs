using JobLocks.Diagnostics;
using JobLocks.Locks;
using JobLocks.Postgres.Locks;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Finds missed wakes: a holder died, a notification was lost, a process was killed between two steps, or a run was deleted by hand.
/// One process at a time sweeps for a store. Used by the thread of the <see cref="WakeDispatcher"/> alone, except <see cref="StopLeading"/>.
/// </summary>
internal sealed class WaitQueueSweep(
    PooledStatements statements, LockDispatcher dispatcher, SweepLeadership leadership, KnownStores stores, RunWaker waker, WakeRequests requests,
    UnservedStores unserved, LostEntries lost, JobLocksOptions options, ILogger log)
{
    // Limits, so that a sweep of a long wait queue does not delay the runs that are to be woken.
    private const int MaxKeys = 10_000;
    private const int MaxChecked = 100;

    private static readonly TimeSpan LongestCheck = TimeSpan.FromSeconds(0.5);
    private static readonly TimeSpan ClockCheckInterval = TimeSpan.FromSeconds(5);

    private readonly Dictionary<string, long> _lastChecked = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> _lastUnstarted = new(StringComparer.Ordinal);
    private readonly Dictionary<string, TimeSpan> _clockCheckedAt = new(StringComparer.Ordinal);

    /// <summary>Sweeps a store once, if this process is the leader for it.</summary>
    public void Sweep(IRunStore store)
    {
        var id = store.Id!;
        // A process that has no wait queue must not keep other processes from sweeping. It knows that only after a session is open, and TryLead opens one.
        if (dispatcher.Sessions.Capabilities.HasWaitQueue == false || !TryLead(id) || dispatcher.Sessions.Capabilities.HasWaitQueue != true)
        {
            StopLeading(id);
            if (dispatcher.Sessions.Capabilities.HasWaitQueue == true) SweepAsFollower(id);
            return;
        }

        CorrectFutureTimes(id);
        var overdue = waker.ReadWoken(SweepSql.WakeOverdue, Text(id));
        Blocking.Wait(waker.InWorkers.SignalChangedAsync(overdue.Select(static woken => (woken.Run.Number, woken.Run.Address.Store, woken.Run.IsParked)), blocks: true).AsTask());
        waker.Deliver(overdue);
        DeliverMissedWakes(store);
        unserved.RemoveExpired();
        WakeWaitersOfFreeKeys();
        CheckNextWaiters(store);
        // Runs that were gone, or that were paused by hand, have left their locks to the next ones.
        waker.WakeRequestedKeys();
        lost.StartRunsWithoutEntry(store);
    }

    /// <summary>Leaves the sweeps of a store to other processes.</summary>
    public void StopLeading(string store) => leadership.Stop(store);

    /// <summary>Delivers wakes for which the process that woke the runs had no free worker.</summary>
    private void SweepAsFollower(string store)
    {
        if (Blocking.Wait(dispatcher.QueryAsync(session => session.Query<bool>(WaitQueueSql.For(options, SweepSql.HasEntries), store))) is not [true]) return;

        dispatcher.Listen();
        waker.DeliverMissedWakes(store, isLeader: false);
    }

    private bool TryLead(string store)
    {
        if (!leadership.TryLead(store, store => stores.Find(store) is not null, out var isNew)) return false;
        if (isNew) log.SweepsStore(DisplayText.Name(store));
        return true;
    }

    /// <summary>Runs at most every five seconds: the statement reads each entry of the store that has a time limit.</summary>
    private void CorrectFutureTimes(string store)
    {
        if (_clockCheckedAt.TryGetValue(store, out var last) && BootClock.Now - last < ClockCheckInterval) return;

        waker.Execute(SweepSql.CorrectFutureTimes, Text(store));
        _clockCheckedAt[store] = BootClock.Now;
    }

    private void DeliverMissedWakes(IRunStore store)
    {
        waker.DeliverMissedWakes(store.Id!, isLeader: true);
        var since = BootClock.Now;
        // A slow store leaves many wakes undelivered, so this repeats. Runs that wait for a busy worker are not woken again. The loop ends with a page of
        // which no run had to be woken.
        while (CheckRuns(store, ReadNextPage(SweepSql.UnstartedRuns, store.Id!, _lastUnstarted), areWoken: true) && BootClock.Now - since < LongestCheck)
        {
        }
    }

    private void WakeWaitersOfFreeKeys()
    {
        var firstKey = long.MinValue;
        while (true)
        {
            // Wakes the keys first whose release was reported. Otherwise the statement would find these keys too: the metric would count them as missed, and
            // one more run would be woken in vain.
            waker.WakeRequestedKeys();
            var heads = Blocking.Wait(statements.ReadAsync(
                SweepSql.Heads,
                static row => new QueueHead(new(row.GetInt64(0)), row.GetString(1), (LockMode)row.GetInt16(2), row.GetInt32(3), row.GetBoolean(4), row.GetBoolean(5)),
                blocks: true,
                CancellationToken.None,
                new NpgsqlParameter<int> { TypedValue = MaxKeys },
                new NpgsqlParameter<long> { TypedValue = firstKey }).AsTask());
            dispatcher.Meter.WokeBySweep(waker.Wake([.. FindFreeKeys(heads).Where(static free => free.Free > 0)]));
            if (heads.Count < MaxKeys || heads[^1].Key.Value == long.MaxValue) return;

            firstKey = heads[^1].Key.Value + 1;
        }
    }

    private IEnumerable<FreeKey> FindFreeKeys(IReadOnlyList<QueueHead> heads)
    {
        var free = heads.Where(static head => !head.IsLimited && head.Slots > 0)
            .Select(static head => new FreeKey(head.Key, (head.Mode == LockMode.Shared ? head.IsHeldExclusively : head.IsHeld) ? 0 : 1));
        return free.Concat(heads.Where(static head => head.IsLimited).Chunk(MaxChecked).SelectMany(CountFreeSlots));
    }

    private IEnumerable<FreeKey> CountFreeSlots(QueueHead[] heads)
    {
        var slots = heads.SelectMany(static (head, index) => new LockRequest(head.Name, head.Key, head.Mode, head.Slots).Slots
            .Select(slot => (Index: index, Slot: slot.Value))).ToList();
        var held = Blocking.Wait(statements.ReadAsync(
            SweepSql.CountHeld,
            static row => (Index: row.GetInt32(0), Count: row.GetInt32(1)),
            blocks: true,
            CancellationToken.None,
            new NpgsqlParameter<int[]> { TypedValue = [.. slots.Select(static slot => slot.Index)] },
            new NpgsqlParameter<long[]> { TypedValue = [.. slots.Select(static slot => slot.Slot)] }).AsTask())
                .ToDictionary(static slot => slot.Index, static slot => slot.Count);
        return heads.Select((head, index) => new FreeKey(head.Key, head.Slots - held.GetValueOrDefault(index), IncludesWoken: true));
    }

    /// <summary>Asks the store about some of its waiting runs. The next sweep continues after them.</summary>
    private void CheckNextWaiters(IRunStore store)
    {
        var runs = ReadNextPage(SweepSql.WaitersToCheck, store.Id!, _lastChecked);
        // Another process may wake these runs: its notification arrives over this connection.
        if (runs.Count > 0) dispatcher.Listen();
        CheckRuns(store, runs, areWoken: false);
    }

    /// <summary>Reads some runs. The next call continues after them, so that runs that never start do not hide the others.</summary>
    private List<WaitingRun> ReadNextPage(string sql, string store, Dictionary<string, long> lastRead)
    {
        var page = waker.ReadRuns(sql, Text(store),
            new NpgsqlParameter<long> { TypedValue = lastRead.GetValueOrDefault(store, long.MinValue) },
            new NpgsqlParameter<int> { TypedValue = MaxChecked });
        lastRead[store] = page.Count < MaxChecked ? long.MinValue : page[^1].Number;
        return page;
    }

    /// <summary>Asks a store for the states of some runs, and repairs their entries and wakes.</summary>
    /// <returns>Whether some of them had to be woken.</returns>
    private bool CheckRuns(IRunStore store, List<WaitingRun> runs, bool areWoken)
    {
        if (runs.Count == 0) return false;

        var states = waker.Calls.CallStore(runs, store.GetStatesAsync).ToList();
        // The process that parked the run died before it recorded that.
        foreach (var (run, _) in states.Where(static pair => pair is { State: ParkedRunState.Parked or ParkedRunState.Rescheduled, Run.IsParked: false }))
        {
            waker.Execute(EntrySql.MarkParked, new NpgsqlParameter<long> { TypedValue = run.Number });
            requests.AddEntry(run.Number);
        }

        waker.RemoveLeftovers(waker.Leftovers.Note(states, mayBeOnTheWay: areWoken));

        // The process that had claimed their wakes has died.
        var missed = states.Where(static pair => pair is { State: ParkedRunState.Parked or ParkedRunState.Rescheduled, Run.IsDeliveryClaimed: true }).Select(static pair => pair.Run).ToList();
        waker.Deliver(missed);
        // The claimed wake of a run is lost with the run, so other runs are woken instead.
        foreach (var gone in states.Where(static pair => pair.State == ParkedRunState.Gone).GroupBy(static pair => pair.Run.IsDeliveryClaimed))
            waker.RemoveGoneRuns([.. gone.Select(static pair => pair.Run)], wakesOthers: gone.Key);
        // The scheduler that must start them has no free worker, or does not know of them.
        if (states.Exists(static pair => pair.State == ParkedRunState.StartingAnywhere)) waker.TryNotifyOtherProcesses(store.Id!);
        return missed.Count > 0;
    }

    private static NpgsqlParameter<string> Text(string value) => new NpgsqlParameter<string> { TypedValue = value };

    private readonly record struct QueueHead(LockKey Key, string Name, LockMode Mode, int Slots, bool IsHeld, bool IsHeldExclusively)
    {
        public bool IsLimited => this is { Slots: > 1, Mode: LockMode.Exclusive };
    }
}
