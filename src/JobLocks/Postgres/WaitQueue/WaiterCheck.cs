using JobLocks.Gate;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Asks the job stores whether they still have the waiters of a key. Needed before a run is skipped or failed because of these waiters, but not for a run that only
/// waits. Thread-safe.
/// </summary>
internal sealed class WaiterCheck(PooledStatements statements, WakeDispatcher wakeDispatcher, ILogger log)
{
    private readonly WaitersInStores _stores = new(wakeDispatcher.FindStore, log);

    /// <summary>Checks the first waiters that precede others, and removes the entries of runs that do not exist any more.</summary>
    /// <param name="key">The key.</param>
    /// <param name="count">How many waiters are checked, from the first on.</param>
    /// <param name="blocks">Whether to block the calling thread instead of awaiting.</param>
    /// <param name="stop">Cancels the call.</param>
    /// <exception cref="NpgsqlException">The wait queue cannot be read.</exception>
    public ValueTask<WaiterCheckResult> CheckFirstAsync(LockKey key, int count, bool blocks, CancellationToken stop) =>
        CheckAsync(EntrySql.FirstWaiters, WaiterCheckResult.SomeRemoved, key, count, blocks, stop);

    /// <summary>Checks the waiters that count for the length of the queue, and the waiter that a newer run would replace.</summary>
    /// <param name="key">The key.</param>
    /// <param name="count">How many waiters are checked, from the first on.</param>
    /// <param name="blocks">Whether to block the calling thread instead of awaiting.</param>
    /// <param name="stop">Cancels the call.</param>
    /// <exception cref="NpgsqlException">The wait queue cannot be read.</exception>
    public ValueTask<WaiterCheckResult> CheckCountedAsync(LockKey key, int count, bool blocks, CancellationToken stop) =>
        CheckAsync(EntrySql.FirstCountedWaiters, WaiterCheckResult.AllExist, key, count, blocks, stop);

    private async ValueTask<WaiterCheckResult> CheckAsync(string sql, WaiterCheckResult ifEmpty, LockKey key, int count, bool blocks, CancellationToken stop)
    {
        var waiters = await statements.ReadAsync(
            sql,
            static row => new WaitersInStores.Waiter(RunWaker.ReadRun(row, TimeSpan.MaxValue), WasWokenJustNow: row.GetBoolean(10)),
            blocks,
            stop,
            new NpgsqlParameter<long> { TypedValue = key.Value },
            new NpgsqlParameter<int> { TypedValue = Math.Min(count, WaitersInStores.MostChecked) }).ConfigureAwait(false);
        if (waiters.Count == 0) return ifEmpty;

        var (gone, areOthersThere) = await _stores.AskAsync(waiters, blocks, stop).ConfigureAwait(false);
        if (gone.Count == 0) return areOthersThere && count <= WaitersInStores.MostChecked ? WaiterCheckResult.AllExist : WaiterCheckResult.Unconfirmed;

        foreach (var run in gone)
        {
            wakeDispatcher.LocallyParked.Remove(run.Number);
            wakeDispatcher.LocallyWoken.Remove(run.Address);
        }

        await statements.RunAsync(EntrySql.Remove, blocks, stop, new NpgsqlParameter<long[]> { TypedValue = [.. gone.Select(static run => run.Number)] }).ConfigureAwait(false);
        wakeDispatcher.RequestWakes([new(key)]);
        return WaiterCheckResult.SomeRemoved;
    }
}
