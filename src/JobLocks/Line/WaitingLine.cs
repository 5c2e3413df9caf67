using JobLocks.Gate;
using JobLocks.Inspection;
using JobLocks.Postgres;
using JobLocks.Rules;
using Npgsql;

namespace JobLocks.Line;

/// <summary>
/// The runs that wait for a lock, in the order of their arrival, beside the job stores and the same for all of them: a table of ours.
/// Always in this order: a run takes its place, looks at the lock once more, and is parked; a lock is released, and then the next is woken.
/// Woken is not granted: the run asks for the lock itself. Thread-safe.
/// </summary>
internal sealed class WaitingLine(
    LineStatements statements, LineWatch watch, RollCall rollCall, InternalLocks internalLocks, JobLocksOptions options, LockDesk desk) : IWaitQueue
{
    /// <summary>Whether there is a line: it needs the schema, and is known when a session has been opened.</summary>
    /// <exception cref="JobLocksUnavailableException">None can be opened.</exception>
    public async ValueTask<bool> IsUsableAsync(bool blocks, CancellationToken stop)
    {
        if (options.Schema is null) return false;
        if (desk.HasLine is { } known) return known;

        var asked = desk.AskAsync(_ => desk.HasLine == true);
        if (!blocks) return await asked.WaitAsync(stop).ConfigureAwait(false);

        Blocking.TryWait(asked, Timeout.InfiniteTimeSpan, stop);
        return Blocking.Wait(asked);
    }

    /// <summary>Has runs of a store woken from here, as long as this process lives.</summary>
    public void Serve(IRunStore store) => watch.Serve(store);

    /// <summary>Leaves the runs of a store to other processes.</summary>
    public void Forget(IRunStore store) => watch.Forget(store);

    /// <summary>The place of a run; null where it stands nowhere.</summary>
    public async ValueTask<LinePlace?> FindAsync(RunAddress run, bool blocks, CancellationToken stop)
    {
        if (watch.Woken.Take(run) is { } woken) return woken;

        var found = await statements.ReadAsync(
            EntrySql.Find,
            static row => new LinePlace(row.GetInt64(0), new(row.GetInt64(1)), row.GetBoolean(2), row.GetBoolean(3), row.GetValue(4) as string, row.GetFieldValue<DateTimeOffset>(5)),
            blocks,
            stop,
            Text(run.Store),
            Text(run.Run)).ConfigureAwait(false);
        return found is [var place] ? place : null;
    }

    /// <summary>Stands in the line, at the old place where it has one. From now on it may be woken, but not before it is parked.</summary>
    /// <param name="run">Who.</param>
    /// <param name="wish">What for.</param>
    /// <param name="rules">How long the line may be, and how long the run waits.</param>
    /// <param name="blocks">Whether the caller has no asynchronous way.</param>
    /// <param name="stop">Gives up.</param>
    public async ValueTask<Standing> StandAsync(RunAddress run, LockWish wish, LineRules rules, bool blocks, CancellationToken stop)
    {
        await ShowAsync(run.Store, blocks).ConfigureAwait(false);
        if (rules.Keep == 0) return await StandAsync(run, wish, rules, options.LongestLine, null, blocks, stop).ConfigureAwait(false);

        return await CountAloneAsync(wish, connection => StandAsync(run, wish, rules, AtMost(rules), connection, blocks, stop), blocks, stop).ConfigureAwait(false);
    }

    /// <summary>The same where the line is full: the oldest one that waits is told that it is not to run.</summary>
    public async ValueTask<Standing> ReplaceOldestAsync(RunAddress run, LockWish wish, LineRules rules, bool blocks, CancellationToken stop)
    {
        long? replaced = null;
        var standing = await CountAloneAsync(
            wish,
            async connection =>
            {
                var first = await StandAsync(run, wish, rules, AtMost(rules), connection, blocks, stop).ConfigureAwait(false);
                if (first.Place is not null) return first;

                replaced = await ReplaceOldestAsync(connection, run, wish, blocks, stop).ConfigureAwait(false);
                return replaced is null ? first : await StandAsync(run, wish, rules, options.LongestLine, connection, blocks, stop).ConfigureAwait(false);
            },
            blocks,
            stop).ConfigureAwait(false);
        if (replaced is { } place) watch.Tell(place);
        return standing;
    }

    /// <summary>Asks the stores of the runs that stand under a key whether they still have them: before another run is dropped on their account.</summary>
    /// <param name="key">The key.</param>
    /// <param name="count">How many are counted from the first on.</param>
    /// <param name="blocks">Whether the caller has no asynchronous way.</param>
    /// <param name="stop">Gives up.</param>
    public ValueTask<RollCallResult> AskAfterAsync(LockKey key, int count, bool blocks, CancellationToken stop) => rollCall.AskFirstAsync(key, count, blocks, stop);

    /// <summary>The same for the runs that count for the length of the line, whether the order passes them over or not.</summary>
    /// <param name="key">The key.</param>
    /// <param name="count">How many are counted from the first on.</param>
    /// <param name="blocks">Whether the caller has no asynchronous way.</param>
    /// <param name="stop">Gives up.</param>
    public ValueTask<RollCallResult> AskAfterCountedAsync(LockKey key, int count, bool blocks, CancellationToken stop) => rollCall.AskCountedAsync(key, count, blocks, stop);

    /// <summary>The store keeps the run now: it may be woken, and is if its turn came meanwhile.</summary>
    public async ValueTask ParkAsync(LinePlace place, bool blocks, CancellationToken stop)
    {
        // Its turn may come from a process that cannot reach its store.
        desk.Listen();
        watch.Parked.Add(place);
        var woken = await statements.ReadAsync(EntrySql.Park, static row => row.GetBoolean(0), blocks, stop, EntryParameters.ToPark(place)).ConfigureAwait(false);
        if (woken is [true]) watch.Tell(place.Place);
        var store = place.Stance!.Run.Store;
        if (!watch.IsClosed(store)) return;

        watch.Parked.Remove(place);
        // It has gone with the memory of its scheduler.
        if (VolatileStore.Is(store)) await LeaveAsync(place, blocks, stop).ConfigureAwait(false);
    }

    /// <summary>The run goes: it has its locks, or is not to run.</summary>
    public ValueTask LeaveAsync(LinePlace place, bool blocks, CancellationToken stop)
    {
        watch.Parked.Remove(place.Place);
        watch.UnderWay.Remove(place.Place);
        return statements.RunAsync(EntrySql.Come, blocks, stop, Number(place.Place));
    }

    /// <summary>Those who stand in the line of a key may have their turn: who had it did not want it.</summary>
    public void PassOn(LockKey key) => watch.TurnCame([new(key)]);

    private int AtMost(LineRules rules) => Math.Min(rules.Keep, options.LongestLine);

    private ValueTask<Standing> CountAloneAsync(LockWish wish, Func<NpgsqlConnection, ValueTask<Standing>> stand, bool blocks, CancellationToken stop) =>
        statements.InTransactionAsync(
            async connection =>
            {
                await CountAloneAsync(connection, wish.Key, blocks, stop).ConfigureAwait(false);
                return await stand(connection).ConfigureAwait(false);
            },
            blocks,
            stop);

    private async ValueTask CountAloneAsync(NpgsqlConnection connection, LockKey key, bool blocks, CancellationToken stop)
    {
        if (!internalLocks.IsHeldByAnother(InternalKeys.Counts, (int)(key.Value & int.MaxValue)))
        {
            await statements.ReadAsync(connection, EntrySql.CountAlone, static _ => 0, blocks, stop, Number(key.Value)).ConfigureAwait(false);
            return;
        }

        await statements.ReadAsync(connection, EntrySql.CountTimeouts, static _ => 0, blocks, stop).ConfigureAwait(false);
        await statements.ReadAsync(connection, EntrySql.CountAloneByTable, static _ => 0, blocks, stop).ConfigureAwait(false);
    }

    /// <summary>The run is here, so its store is served here: others pass it over before they see that.</summary>
    private async ValueTask ShowAsync(string store, bool blocks)
    {
        if (watch.Presence.IsShown(store) || watch.IsClosed(store)) return;

        try
        {
            var shown = watch.Presence.EnsureShownAsync(store);
            if (blocks) Blocking.Wait(shown);
            else await shown.ConfigureAwait(false);
        }
        catch (JobLocksUnavailableException)
        {
            // The next sweep shows it.
        }
        finally
        {
            if (watch.IsClosed(store)) watch.Presence.Hide(store);
        }
    }

    private async ValueTask<Standing> StandAsync(
        RunAddress run, LockWish wish, LineRules rules, int atMost, NpgsqlConnection? connection, bool blocks, CancellationToken stop)
    {
        var stance = new Stance(run, wish, rules.AtMost);
        var parameters = EntryParameters.ToStand(stance, atMost);
        var stood = connection is null
            ? await statements.ReadAsync(EntrySql.Stand, ReadStanding, blocks, stop, parameters).ConfigureAwait(false)
            : await statements.ReadAsync(connection, EntrySql.Stand, ReadStanding, blocks, stop, parameters).ConfigureAwait(false);
        var (standing, queue, waits) = stood[0];
        // A run that stood there keeps the queue and the time that it had.
        return queue is null ? standing : standing with { Place = standing.Place! with { Stance = stance with { Run = run with { Queue = queue }, AtMost = waits } } };
    }

    private async ValueTask<long?> ReplaceOldestAsync(NpgsqlConnection connection, RunAddress run, LockWish wish, bool blocks, CancellationToken stop)
    {
        var replaced = await statements.ReadAsync(
            connection,
            EntrySql.ReplaceOldest,
            static row => row.GetInt64(0),
            blocks,
            stop,
            Number(wish.Key.Value),
            Text(run.Store),
            Text(run.Run),
            Text($"Skipped: a newer run has taken its place in the line of {wish}")).ConfigureAwait(false);
        return replaced is [var place] ? place : null;
    }

    private static (Standing Standing, string? Queue, TimeSpan? Waits) ReadStanding(NpgsqlDataReader row)
    {
        if (row.IsDBNull(2)) return (new(null, row.GetInt32(0)), null, null);

        var place = new LinePlace(row.GetInt64(2), new(row.GetInt64(3)), IsWoken: false, row.GetBoolean(4), row.GetValue(5) as string, row.GetFieldValue<DateTimeOffset>(6));
        var was = row.IsDBNull(1) ? (LockKey?)null : new(row.GetInt64(1));
        return (new(place, row.GetInt32(0), was == place.Key ? null : was, IsNew: was is null), row.GetString(7), row.IsDBNull(8) ? null : TimeSpan.FromSeconds(row.GetDouble(8)));
    }

    private static NpgsqlParameter<string> Text(string value) => new NpgsqlParameter<string> { TypedValue = value };

    private static NpgsqlParameter<long> Number(long value) => new NpgsqlParameter<long> { TypedValue = value };
}
