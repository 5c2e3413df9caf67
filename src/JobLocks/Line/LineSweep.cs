using JobLocks.Diagnostics;
using JobLocks.Gate;
using JobLocks.Postgres;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Line;

/// <summary>
/// Finds what nobody told: a holder that died, a signal that was lost, a process that was killed between two acts, a run that was deleted by hand.
/// For each store in one process at a time. Used by the thread of the <see cref="LineWatch"/> alone, but for <see cref="Forget"/>.
/// </summary>
internal sealed class LineSweep(LineStatements statements, LockDesk desk, LineWatch watch, DeadStores dead, ILogger log)
{
    // Bounded, so that a sweep of a long line does not hold up those who are to be woken.
    private const int MostKeys = 10_000;
    private const int MostLooks = 100;

    private readonly Dictionary<string, int> _ledBy = new(StringComparer.Ordinal);
    private readonly Dictionary<string, long> _lookedUntil = new(StringComparer.Ordinal);

    /// <summary>The number under which a store is swept.</summary>
    public static int NumberOf(string store) => (int)LockKey.Of(store).Value;

    /// <summary>Looks once, if this process is the one that does.</summary>
    public void Sweep(IRunStore store)
    {
        var id = store.Id!;
        if (!Leads(id) || desk.HasLine != true) return;

        watch.Deliver(watch.Ask(LineSql.WakeOverdue, Text(id)));
        TellForgotten(store);
        dead.Bury();
        WakeUnderFreeKeys();
        LookAround(store);
    }

    /// <summary>Lets another process do it.</summary>
    public void Forget(string store)
    {
        lock (_ledBy)
        {
            if (!_ledBy.Remove(store)) return;
        }

        _ = desk.AskAsync(session => session.Ask<int?>(LineSql.StopLeading, NumberOf(store)));
    }

    private bool Leads(string store)
    {
        lock (_ledBy)
        {
            if (_ledBy.TryGetValue(store, out var backend) && desk.IsCurrent(backend)) return true;

            _ledBy.Remove(store);
            var asked = desk.AskAsync(session => session.Ask<int?>(LineSql.Lead, NumberOf(store)));
            if (Blocking.Wait(asked) is not [{ } leading]) return false;

            _ledBy[store] = leading;
            log.Leads(store);
            return true;
        }
    }

    private void TellForgotten(IRunStore store)
    {
        watch.Deliver(watch.Ask(LineSql.TellForgotten, Text(store.Id!)));
        LookAfter(store, watch.Ask(LineSql.Missing, Text(store.Id!)));
    }

    private void WakeUnderFreeKeys()
    {
        var from = long.MinValue;
        while (true)
        {
            var heads = Blocking.Wait(statements.ReadAsync(
                LineSql.Heads,
                static row => new LineHead(new(row.GetInt64(0)), row.GetString(1), (LockMode)row.GetInt16(2), row.GetInt32(3), row.GetBoolean(4), row.GetBoolean(5)),
                blocks: true,
                CancellationToken.None,
                new NpgsqlParameter<int> { TypedValue = MostKeys },
                new NpgsqlParameter<long> { TypedValue = from }).AsTask());
            desk.Meter.WokeBySweep(watch.Wake([.. heads.Select(FreeUnder).Where(static free => free.Free > 0)]));
            if (heads.Count < MostKeys || heads[^1].Key.Value == long.MaxValue) return;

            from = heads[^1].Key.Value + 1;
        }
    }

    private FreeKey FreeUnder(LineHead head)
    {
        if (head.Slots == 0) return new(head.Key, 0);
        if (head is { Slots: > 1, Mode: LockMode.Exclusive }) return new(head.Key, head.Slots - CountHeld(new LockWish(head.Name, head.Key, head.Mode, head.Slots)), CountsWoken: true);

        return new(head.Key, (head.Mode == LockMode.Shared ? head.IsHeldAlone : head.IsHeld) ? 0 : 1);
    }

    private int CountHeld(LockWish wish) => Blocking.Wait(statements.ReadAsync(
        LineSql.CountHeld,
        static row => row.GetInt32(0),
        blocks: true,
        CancellationToken.None,
        new NpgsqlParameter<long[]> { TypedValue = [.. wish.Slots.Select(static slot => slot.Value)] }).AsTask())[0];

    /// <summary>Asks the store after some of its runs, and goes on with the next ones at the next sweep.</summary>
    private void LookAround(IRunStore store)
    {
        var from = _lookedUntil.GetValueOrDefault(store.Id!);
        var runs = watch.Ask(LineSql.Next, Text(store.Id!), new NpgsqlParameter<long> { TypedValue = from }, new NpgsqlParameter<int> { TypedValue = MostLooks });
        _lookedUntil[store.Id!] = runs.Count < MostLooks ? 0 : runs[^1].Place;
        // Whoever woke them may be another process, which tells us over this connection.
        if (runs.Count > 0 || from > 0) desk.Listen();
        LookAfter(store, runs);
    }

    private void LookAfter(IRunStore store, List<WaitingRun> runs)
    {
        if (runs.Count == 0) return;

        var fates = watch.FatesOf(runs, store.LookAsync).ToList();
        // Its process died after it had been parked, and before that was written down.
        foreach (var (run, _) in fates.Where(static of => of is { Fate: RunFate.Waits, Run.IsParked: false }))
        {
            watch.Run(LineSql.Park, new NpgsqlParameter<long> { TypedValue = run.Place });
            watch.Tell(run.Place);
        }

        // Whoever was to wake them has died.
        watch.Deliver([.. fates.Where(static of => of is { Fate: RunFate.Waits, Run.IsOurs: true }).Select(static of => of.Run)]);
        foreach (var gone in fates.Where(static of => of.Fate == RunFate.IsGone).GroupBy(static of => of.Run.IsOurs))
            watch.GiveUp([.. gone.Select(static of => of.Run)], wasTheirTurn: gone.Key);
    }

    private static NpgsqlParameter<string> Text(string value) => new NpgsqlParameter<string> { TypedValue = value };

    private readonly record struct LineHead(LockKey Key, string Name, LockMode Mode, int Slots, bool IsHeld, bool IsHeldAlone);
}
