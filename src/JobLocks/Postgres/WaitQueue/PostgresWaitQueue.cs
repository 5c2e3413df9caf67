using JobLocks.Keys;
using JobLocks.Locks;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.Reading;
using JobLocks.Primitives;
using JobLocks.Rules;
using JobLocks.WaitQueue;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// The runs that wait for a lock, in the order of their arrival, beside the job stores and the same for all of them: a table of ours.
/// Always in this order: a run takes its place, looks at the lock once more, and is parked; a lock is released, and then the next is woken.
/// Woken is not granted: the run asks for the lock itself. Thread-safe.
/// </summary>
internal sealed class PostgresWaitQueue(
    WaitQueueStatements statements, WakeDispatcher watch, WaiterCheck rollCall, InternalLocks internalLocks, JobLocksOptions options, LockDispatcher dispatcher) : IWaitQueue
{
    /// <summary>Whether there is a line: it needs the schema, and is known when a session has been opened.</summary>
    /// <exception cref="JobLocksUnavailableException">None can be opened.</exception>
    public async ValueTask<bool> IsUsableAsync(bool blocks, CancellationToken stop)
    {
        if (options.Schema is null) return false;
        if (dispatcher.HasWaitQueue is { } known) return known;

        var asked = dispatcher.AskAsync(_ => dispatcher.HasWaitQueue == true);
        if (!blocks) return await asked.WaitAsync(stop).ConfigureAwait(false);

        Blocking.TryWait(asked, Timeout.InfiniteTimeSpan, stop);
        return Blocking.Wait(asked);
    }

    /// <summary>Has runs of a store woken from here, as long as this process lives.</summary>
    public void Serve(IRunStore store) => watch.Serve(store);

    /// <summary>Leaves the runs of a store to other processes.</summary>
    public void Forget(IRunStore store) => watch.Forget(store);

    /// <summary>The place of a run; null where it stands nowhere.</summary>
    public async ValueTask<QueueEntry?> FindAsync(RunAddress run, bool blocks, CancellationToken stop)
    {
        if (watch.Woken.Take(run) is { } woken) return woken;

        var found = await statements.ReadAsync(
            EntrySql.Find,
            static row => new QueueEntry(row.GetInt64(0), new(row.GetInt64(1)), row.GetBoolean(2), row.GetBoolean(3), row.GetValue(4) as string, row.GetFieldValue<DateTimeOffset>(5)),
            blocks,
            stop,
            Text(run.Store),
            Text(run.Run)).ConfigureAwait(false);
        return found is [var place] ? place : null;
    }

    /// <summary>Stands in the line, at the old place where it has one. From now on it may be woken, but not before it is parked.</summary>
    /// <param name="run">Who.</param>
    /// <param name="request">What for.</param>
    /// <param name="rules">How long the line may be, and how long the run waits.</param>
    /// <param name="blocks">Whether the caller has no asynchronous way.</param>
    /// <param name="stop">Gives up.</param>
    public async ValueTask<EnqueueResult> EnqueueAsync(RunAddress run, LockRequest request, WaitRules rules, bool blocks, CancellationToken stop)
    {
        await ShowAsync(run.Store, blocks).ConfigureAwait(false);
        if (rules.Keep == 0) return await EnqueueAsync(run, request, rules, options.LongestWaitQueue, null, blocks, stop).ConfigureAwait(false);

        return await CountAloneAsync(request, connection => EnqueueAsync(run, request, rules, AtMost(rules), connection, blocks, stop), blocks, stop).ConfigureAwait(false);
    }

    /// <summary>The same where the line is full: the oldest one that waits is told that it is not to run.</summary>
    public async ValueTask<EnqueueResult> ReplaceOldestAsync(RunAddress run, LockRequest request, WaitRules rules, bool blocks, CancellationToken stop)
    {
        long? replaced = null;
        var standing = await CountAloneAsync(
            request,
            async connection =>
            {
                var first = await EnqueueAsync(run, request, rules, AtMost(rules), connection, blocks, stop).ConfigureAwait(false);
                if (first.Place is not null) return first;

                replaced = await ReplaceOldestAsync(connection, run, request, blocks, stop).ConfigureAwait(false);
                return replaced is null ? first : await EnqueueAsync(run, request, rules, options.LongestWaitQueue, connection, blocks, stop).ConfigureAwait(false);
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
    public ValueTask<WaiterCheckResult> CheckWaitersAsync(LockKey key, int count, bool blocks, CancellationToken stop) => rollCall.CheckFirstAsync(key, count, blocks, stop);

    /// <summary>The same for the runs that count for the length of the line, whether the order passes them over or not.</summary>
    /// <param name="key">The key.</param>
    /// <param name="count">How many are counted from the first on.</param>
    /// <param name="blocks">Whether the caller has no asynchronous way.</param>
    /// <param name="stop">Gives up.</param>
    public ValueTask<WaiterCheckResult> CheckCountedWaitersAsync(LockKey key, int count, bool blocks, CancellationToken stop) => rollCall.CheckCountedAsync(key, count, blocks, stop);

    /// <summary>The store keeps the run now: it may be woken, and is if its turn came meanwhile.</summary>
    public async ValueTask ParkAsync(QueueEntry place, bool blocks, CancellationToken stop)
    {
        // Its turn may come from a process that cannot reach its store.
        dispatcher.Listen();
        watch.Parked.Add(place);
        var woken = await statements.ReadAsync(EntrySql.Park, static row => row.GetBoolean(0), blocks, stop, EntryParameters.ToPark(place)).ConfigureAwait(false);
        if (woken is [true]) watch.Tell(place.Place);
        var store = place.Request!.Run.Store;
        if (!watch.IsClosed(store)) return;

        watch.Parked.Remove(place);
        // It has gone with the memory of its scheduler.
        if (VolatileStore.Is(store)) await DequeueAsync(place, blocks, stop).ConfigureAwait(false);
    }

    /// <summary>The run goes: it has its locks, or is not to run.</summary>
    public ValueTask DequeueAsync(QueueEntry place, bool blocks, CancellationToken stop)
    {
        watch.Parked.Remove(place.Place);
        watch.PendingWakes.Remove(place.Place);
        return statements.RunAsync(EntrySql.Come, blocks, stop, Number(place.Place));
    }

    /// <summary>Those who stand in the line of a key may have their turn: who had it did not want it.</summary>
    public void WakeNext(LockKey key) => watch.TurnCame([new(key)]);

    private int AtMost(WaitRules rules) => Math.Min(rules.Keep, options.LongestWaitQueue);

    private ValueTask<EnqueueResult> CountAloneAsync(LockRequest request, Func<NpgsqlConnection, ValueTask<EnqueueResult>> stand, bool blocks, CancellationToken stop) =>
        statements.InTransactionAsync(
            async connection =>
            {
                await CountAloneAsync(connection, request.Key, blocks, stop).ConfigureAwait(false);
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

    private async ValueTask<EnqueueResult> EnqueueAsync(
        RunAddress run, LockRequest request, WaitRules rules, int atMost, NpgsqlConnection? connection, bool blocks, CancellationToken stop)
    {
        var stance = new QueueEntryRequest(run, request, rules.AtMost);
        var parameters = EntryParameters.ToEnqueue(stance, atMost);
        var stood = connection is null
            ? await statements.ReadAsync(EntrySql.Stand, ReadEnqueueResult, blocks, stop, parameters).ConfigureAwait(false)
            : await statements.ReadAsync(connection, EntrySql.Stand, ReadEnqueueResult, blocks, stop, parameters).ConfigureAwait(false);
        var (standing, queue, waits) = stood[0];
        // A run that stood there keeps the queue and the time that it had.
        return queue is null ? standing : standing with { Place = standing.Place! with { Request = stance with { Run = run with { Queue = queue }, AtMost = waits } } };
    }

    private async ValueTask<long?> ReplaceOldestAsync(NpgsqlConnection connection, RunAddress run, LockRequest request, bool blocks, CancellationToken stop)
    {
        var replaced = await statements.ReadAsync(
            connection,
            EntrySql.ReplaceOldest,
            static row => row.GetInt64(0),
            blocks,
            stop,
            Number(request.Key.Value),
            Text(run.Store),
            Text(run.Run),
            Text($"Skipped: a newer run has taken its place in the line of {request}")).ConfigureAwait(false);
        return replaced is [var place] ? place : null;
    }

    private static (EnqueueResult Standing, string? Queue, TimeSpan? Waits) ReadEnqueueResult(NpgsqlDataReader row)
    {
        if (row.IsDBNull(2)) return (new(null, row.GetInt32(0)), null, null);

        var place = new QueueEntry(row.GetInt64(2), new(row.GetInt64(3)), IsWoken: false, row.GetBoolean(4), row.GetValue(5) as string, row.GetFieldValue<DateTimeOffset>(6));
        var was = row.IsDBNull(1) ? (LockKey?)null : new(row.GetInt64(1));
        return (new(place, row.GetInt32(0), was == place.Key ? null : was, IsNew: was is null), row.GetString(7), row.IsDBNull(8) ? null : TimeSpan.FromSeconds(row.GetDouble(8)));
    }

    private static NpgsqlParameter<string> Text(string value) => new NpgsqlParameter<string> { TypedValue = value };

    private static NpgsqlParameter<long> Number(long value) => new NpgsqlParameter<long> { TypedValue = value };
}
