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
/// The wait queue of all schedulers and processes: a table of JobLocks, separate from the job stores. Runs are ordered by their arrival.
/// The order of the steps is fixed. A run is enqueued, asks for its lock once more, and is parked. A lock is released, and then the next run is woken.
/// A wake grants nothing: the woken run asks for the lock itself. Thread-safe.
/// </summary>
internal sealed class PostgresWaitQueue(
    PooledStatements statements, WakeDispatcher wakeDispatcher, WaiterCheck waiterCheck,
    ForeignInternalLocks internalLocks, JobLocksOptions options, LockDispatcher dispatcher) : IWaitQueue
{
    /// <summary>Whether runs can wait. That needs the schema, and is known after a session has been opened.</summary>
    /// <exception cref="JobLocksUnavailableException">No session can be opened.</exception>
    public async ValueTask<bool> IsUsableAsync(bool blocks, CancellationToken stop)
    {
        if (options.Schema is null) return false;
        if (dispatcher.Sessions.Capabilities.HasWaitQueue is { } known) return known;

        var isUsable = dispatcher.QueryAsync(_ => dispatcher.Sessions.Capabilities.HasWaitQueue == true);
        if (!blocks) return await isUsable.WaitAsync(stop).ConfigureAwait(false);

        Blocking.TryWait(isUsable, Timeout.InfiniteTimeSpan, stop);
        return Blocking.Wait(isUsable);
    }

    /// <summary>Wakes runs of a job store from this process, until <see cref="RemoveStore"/> or the end of the process.</summary>
    public void AddStore(IRunStore store) => wakeDispatcher.AddStore(store);

    /// <summary>Leaves the runs of a job store to other processes.</summary>
    public void RemoveStore(IRunStore store) => wakeDispatcher.RemoveStore(store);

    /// <summary>The entry of a run; null where it has none.</summary>
    public async ValueTask<QueueEntry?> FindAsync(RunAddress run, bool blocks, CancellationToken stop)
    {
        // From here on, the gate removes the entry, or the run waits again.
        wakeDispatcher.StartedRuns.Remove(run);
        if (wakeDispatcher.LocallyWoken.Take(run) is { } woken) return woken;

        var entries = await statements.ReadAsync(
            EntrySql.Find,
            static row => new QueueEntry(row.GetInt64(0), new(row.GetInt64(1)), row.GetBoolean(2), row.GetBoolean(3),
                row.GetValue(4) as string, row.GetFieldValue<DateTimeOffset>(5))
            {
                WokenAt = row.IsDBNull(6) ? null : BootClock.Now - TimeSpan.FromSeconds(row.GetDouble(6)),
                WasCalled = row.GetBoolean(7),
            },
            blocks,
            stop,
            Text(run.Store),
            Text(run.Run)).ConfigureAwait(false);
        return entries is [var entry] ? entry : null;
    }

    /// <summary>
    /// Enqueues a run. A run that has an entry keeps its entry number. From now on the run can be woken, but the wake is delivered to its store only after it
    /// is parked.
    /// </summary>
    /// <param name="run">The run.</param>
    /// <param name="request">The lock that the run waits for.</param>
    /// <param name="rules">How many runs may wait, and for how long.</param>
    /// <param name="blocks">Whether to block the calling thread instead of awaiting.</param>
    /// <param name="stop">Cancels the call.</param>
    public async ValueTask<EnqueueResult> EnqueueAsync(RunAddress run, LockRequest request, WaitRules rules, bool blocks, CancellationToken stop)
    {
        await AnnounceStoreAsync(run.Store, blocks).ConfigureAwait(false);
        if (rules.Keep == 0) return await EnqueueAsync(run, request, rules, options.LongestWaitQueue, null, blocks, stop).ConfigureAwait(false);

        return await WithCountingLockAsync(request, connection => EnqueueAsync(run, request, rules, GetQueueLimit(rules), connection, blocks, stop),
            blocks, stop).ConfigureAwait(false);
    }

    /// <summary>Enqueues a run. If the queue is full, the oldest waiting run that is not woken gets a skip reason: it is woken to be skipped.</summary>
    public async ValueTask<EnqueueResult> ReplaceOldestAsync(RunAddress run, LockRequest request, WaitRules rules, bool blocks, CancellationToken stop)
    {
        (long Entry, string Store, bool IsParked)? replaced = null;
        var result = await WithCountingLockAsync(
            request,
            async connection =>
            {
                var attempt = await EnqueueAsync(run, request, rules, GetQueueLimit(rules), connection, blocks, stop).ConfigureAwait(false);
                if (attempt.Entry is not null) return attempt;

                // The run is enqueued first. If the queue is too long for that, no other run is skipped for it.
                var extra = await EnqueueAsync(run, request, rules, options.LongestWaitQueue, connection, blocks, stop).ConfigureAwait(false);
                if (extra.Entry is not { } entry) return attempt;

                replaced = await ReplaceOldestAsync(connection, run, request, blocks, stop).ConfigureAwait(false);
                if (replaced is not null) return extra with { Ahead = Math.Max(0, extra.Ahead - 1) };

                await statements.ReadAsync(connection, EntrySql.Dequeue, static _ => 0, blocks, stop, Number(entry.Number)).ConfigureAwait(false);
                return attempt;
            },
            blocks,
            stop).ConfigureAwait(false);
        if (replaced is { } oldest)
        {
            wakeDispatcher.RequestDelivery(oldest.Entry);
            await wakeDispatcher.InWorkers.SignalChangedAsync([oldest], blocks).ConfigureAwait(false);
        }

        return result;
    }

    /// <summary>
    /// Asks the job stores whether they still have the first waiters of a key. Call it before another run is skipped or failed because of these waiters.
    /// </summary>
    /// <param name="key">The key.</param>
    /// <param name="count">How many waiters are checked, from the first on.</param>
    /// <param name="blocks">Whether to block the calling thread instead of awaiting.</param>
    /// <param name="stop">Cancels the call.</param>
    public ValueTask<WaiterCheckResult> CheckWaitersAsync(LockKey key, int count, bool blocks, CancellationToken stop) => waiterCheck.CheckFirstAsync(key, count, blocks, stop);

    /// <summary>Asks the job stores about the runs that count for the length of the queue, even if later runs may bypass them.</summary>
    /// <param name="key">The key.</param>
    /// <param name="count">How many waiters are checked, from the first on.</param>
    /// <param name="blocks">Whether to block the calling thread instead of awaiting.</param>
    /// <param name="stop">Cancels the call.</param>
    public ValueTask<WaiterCheckResult> CheckCountedWaitersAsync(LockKey key, int count, bool blocks, CancellationToken stop) =>
        waiterCheck.CheckCountedAsync(key, count, blocks, stop);

    /// <summary>Records that the job store has parked the run. If the run was woken before that, the wake is delivered now.</summary>
    public async ValueTask MarkParkedAsync(QueueEntry entry, bool blocks, CancellationToken stop)
    {
        // Another process may wake the run without reaching its store. It then notifies this process over the listening connection.
        dispatcher.Listen();
        wakeDispatcher.StartedRuns.Remove(entry.Request!.Run);
        wakeDispatcher.LocallyParked.Add(entry);
        var woken = await statements.ReadAsync(EntrySql.ParkOrRestore, static row => row.GetBoolean(0), blocks, stop, EntryParameters.ToParkOrRestore(entry)).ConfigureAwait(false);
        if (woken is [true]) wakeDispatcher.RequestDelivery(entry.Number);
        var store = entry.Request!.Run.Store;
        if (!wakeDispatcher.IsClosed(store)) return;

        wakeDispatcher.LocallyParked.Remove(entry);
        // The run has ended with the memory of its scheduler.
        if (VolatileStore.Is(store)) await DequeueAsync(entry, blocks, stop).ConfigureAwait(false);
    }

    /// <summary>Watches for the wake of a run that stays in its worker. Another process may wake it, and notifies this process over the listening connection.</summary>
    public WakeWatch WatchWake(QueueEntry entry)
    {
        dispatcher.Listen();
        return wakeDispatcher.InWorkers.Local.Watch(entry.Number, entry.Key, isExclusive: entry.Request is { Lock: { Mode: LockMode.Exclusive, Limit: 1 } });
    }

    /// <summary>Calls the next run of a key. Returns at once.</summary>
    public void CallNext(LockKey key, TimeSpan after) => wakeDispatcher.RequestCall(key, after);

    /// <summary>Removes the entry of a run that has its locks, or is not to run.</summary>
    public ValueTask DequeueAsync(QueueEntry entry, bool blocks, CancellationToken stop)
    {
        wakeDispatcher.LocallyParked.Remove(entry.Number);
        wakeDispatcher.PendingWakes.Remove(entry.Number);
        return statements.RunAsync(EntrySql.Dequeue, blocks, stop, Number(entry.Number));
    }

    /// <summary>Removes the entry of a run that has started, as soon as the table can be used. Returns at once.</summary>
    public void DequeueLater(RunAddress run)
    {
        if (options.Schema is null) return;

        wakeDispatcher.LocallyWoken.Remove(run);
        wakeDispatcher.StartedRuns.Add(run);
    }

    /// <summary>Wakes the next waiter of a key, after a woken run did not use its lock. Returns at once.</summary>
    public void WakeNext(LockKey key) => wakeDispatcher.RequestWakes([new(key)]);

    private int GetQueueLimit(WaitRules rules) => Math.Min(rules.Keep, options.LongestWaitQueue);

    private ValueTask<EnqueueResult> WithCountingLockAsync(LockRequest request, Func<NpgsqlConnection, ValueTask<EnqueueResult>> enqueue, bool blocks, CancellationToken stop) =>
        statements.InTransactionAsync(
            async connection =>
            {
                await AcquireCountingLockAsync(connection, request.Key, blocks, stop).ConfigureAwait(false);
                return await enqueue(connection).ConfigureAwait(false);
            },
            blocks,
            stop);

    private async ValueTask AcquireCountingLockAsync(NpgsqlConnection connection, LockKey key, bool blocks, CancellationToken stop)
    {
        if (!internalLocks.IsHeldByAnother(InternalKeys.QueueCount, (int)(key.Value & int.MaxValue)))
        {
            await statements.ReadAsync(connection, EntrySql.LockForCounting, static _ => 0, blocks, stop, Number(key.Value)).ConfigureAwait(false);
            return;
        }

        await statements.ReadAsync(connection, EntrySql.CountTimeouts, static _ => 0, blocks, stop).ConfigureAwait(false);
        await statements.ReadAsync(connection, EntrySql.LockTableForCounting, static _ => 0, blocks, stop).ConfigureAwait(false);
    }

    /// <summary>Announces that this process serves the store of the run. Other processes bypass the run until they see that.</summary>
    private async ValueTask AnnounceStoreAsync(string store, bool blocks)
    {
        if (wakeDispatcher.Presence.IsAnnounced(store) || wakeDispatcher.IsClosed(store)) return;

        try
        {
            var shown = wakeDispatcher.Presence.EnsureAnnouncedAsync(store);
            if (blocks) Blocking.Wait(shown);
            else await shown.ConfigureAwait(false);
        }
        catch (JobLocksUnavailableException)
        {
            // The next sweep announces it.
        }
        finally
        {
            if (wakeDispatcher.IsClosed(store)) wakeDispatcher.Presence.Withdraw(store);
        }
    }

    private async ValueTask<EnqueueResult> EnqueueAsync(
        RunAddress run, LockRequest request, WaitRules rules, int queueLimit, NpgsqlConnection? connection, bool blocks, CancellationToken stop)
    {
        // The run waits again, so its entry must stay.
        wakeDispatcher.StartedRuns.Remove(run);
        var entryRequest = new QueueEntryRequest(run, request, rules.AtMost);
        var parameters = EntryParameters.ToEnqueue(entryRequest, queueLimit);
        var rows = connection is null
            ? await statements.ReadAsync(EntrySql.Enqueue, ReadEnqueueResult, blocks, stop, parameters).ConfigureAwait(false)
            : await statements.ReadAsync(connection, EntrySql.Enqueue, ReadEnqueueResult, blocks, stop, parameters).ConfigureAwait(false);
        var (result, queue, longestWait) = rows[0];
        // A run that had an entry keeps its queue and its time limit.
        return queue is null ? result : result with { Entry = result.Entry! with { Request = entryRequest with { Run = run with { Queue = queue }, AtMost = longestWait } } };
    }

    private async ValueTask<(long Entry, string Store, bool IsParked)?> ReplaceOldestAsync(NpgsqlConnection connection, RunAddress run, LockRequest request, bool blocks, CancellationToken stop)
    {
        var replaced = await statements.ReadAsync(
            connection,
            EntrySql.ReplaceOldest,
            static row => (row.GetInt64(0), row.GetString(1), row.GetBoolean(2)),
            blocks,
            stop,
            Number(request.Key.Value),
            Text(run.Store),
            Text(run.Run),
            Text($"Skipped: a newer run has replaced it in the queue of {request}")).ConfigureAwait(false);
        return replaced is [var oldest] ? oldest : null;
    }

    private static (EnqueueResult Result, string? Queue, TimeSpan? LongestWait) ReadEnqueueResult(NpgsqlDataReader row)
    {
        if (row.IsDBNull(2)) return (new(null, row.GetInt32(0)), null, null);

        var entry = new QueueEntry(row.GetInt64(2), new(row.GetInt64(3)), BypassesQueue: false, row.GetBoolean(4), row.GetValue(5) as string, row.GetFieldValue<DateTimeOffset>(6));
        var earlierKey = row.IsDBNull(1) ? (LockKey?)null : new(row.GetInt64(1));
        return (new(entry, row.GetInt32(0), earlierKey == entry.Key ? null : earlierKey, IsNewEntry: earlierKey is null),
            row.GetString(7), row.IsDBNull(8) ? null : TimeSpan.FromSeconds(row.GetDouble(8)));
    }

    private static NpgsqlParameter<string> Text(string value) => new NpgsqlParameter<string> { TypedValue = value };

    private static NpgsqlParameter<long> Number(long value) => new NpgsqlParameter<long> { TypedValue = value };
}
