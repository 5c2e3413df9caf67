using System.Runtime.InteropServices;
using JobLocks.Diagnostics;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Asks the job stores whether they still have the waiters of a key. Needed before a run is dropped because of these waiters, but not for a run that only
/// waits. Thread-safe.
/// </summary>
internal sealed class WaiterCheck(PooledStatements statements, WakeDispatcher wakeDispatcher, ILogger log)
{
    private const int MaxChecked = 1000;

    // A store parks a run shortly after the run was enqueued.
    private static readonly TimeSpan LongestParking = TimeSpan.FromSeconds(2);

    /// <summary>Checks the first waiters that precede others, and removes the entries of runs that do not exist any more.</summary>
    /// <param name="key">The key.</param>
    /// <param name="count">How many waiters are checked, from the first on.</param>
    /// <param name="blocks">Whether the caller has no asynchronous way.</param>
    /// <param name="stop">Cancels the call.</param>
    /// <exception cref="NpgsqlException">The wait queue cannot be read.</exception>
    public ValueTask<WaiterCheckResult> CheckFirstAsync(LockKey key, int count, bool blocks, CancellationToken stop) =>
        CheckAsync(EntrySql.FirstWaiters, WaiterCheckResult.SomeRemoved, key, count, blocks, stop);

    /// <summary>Checks the waiters that count for the length of the queue, and the waiter that a newer run would replace.</summary>
    /// <param name="key">The key.</param>
    /// <param name="count">How many waiters are checked, from the first on.</param>
    /// <param name="blocks">Whether the caller has no asynchronous way.</param>
    /// <param name="stop">Cancels the call.</param>
    /// <exception cref="NpgsqlException">The wait queue cannot be read.</exception>
    public ValueTask<WaiterCheckResult> CheckCountedAsync(LockKey key, int count, bool blocks, CancellationToken stop) =>
        CheckAsync(EntrySql.FirstCountedWaiters, WaiterCheckResult.AllExist, key, count, blocks, stop);

    /// <summary>Asks each store once.</summary>
    private async ValueTask<WaiterCheckResult> CheckAsync(string sql, WaiterCheckResult ifEmpty, LockKey key, int count, bool blocks, CancellationToken stop)
    {
        var waiters = await statements.ReadAsync(
            sql,
            static row => new Waiter(RunWaker.ReadRun(row, TimeSpan.MaxValue), WasWokenJustNow: row.GetBoolean(10)),
            blocks,
            stop,
            new NpgsqlParameter<long> { TypedValue = key.Value },
            new NpgsqlParameter<int> { TypedValue = Math.Min(count, MaxChecked) }).ConfigureAwait(false);
        if (waiters.Count == 0) return ifEmpty;

        var answer = count > MaxChecked ? WaiterCheckResult.NoAnswer : WaiterCheckResult.AllExist;
        var gone = new List<WaitingRun>();
        foreach (var ofStore in waiters.GroupBy(static waiter => waiter.Run.Address.Store, StringComparer.Ordinal))
        {
            if (!await CheckStoreAsync(ofStore.Key, [.. ofStore], gone, blocks, stop).ConfigureAwait(false)) answer = WaiterCheckResult.NoAnswer;
        }

        if (gone.Count == 0) return answer;

        foreach (var run in gone)
        {
            log.EntryRemoved(DisplayText.Name(run.Address.Run), DisplayText.Name(run.Name));
            wakeDispatcher.LocallyParked.Remove(run.Number);
            wakeDispatcher.LocallyWoken.Remove(run.Address);
        }

        await statements.RunAsync(EntrySql.Remove, blocks, stop, new NpgsqlParameter<long[]> { TypedValue = [.. gone.Select(static run => run.Number)] }).ConfigureAwait(false);
        wakeDispatcher.RequestWakes([new(key)]);
        return WaiterCheckResult.SomeRemoved;
    }

    /// <summary>Adds the runs that will never start to <paramref name="gone"/>.</summary>
    /// <returns>Whether the store has all the others. False also where this process cannot ask the store.</returns>
    private async ValueTask<bool> CheckStoreAsync(string store, IReadOnlyList<Waiter> waiters, List<WaitingRun> gone, bool blocks, CancellationToken stop)
    {
        if (wakeDispatcher.FindStore(store) is not { } served) return false;

        try
        {
            var asked = served.GetStatesAsync([.. waiters.Select(static waiter => waiter.Run)], stop).AsTask();
            var fates = blocks ? Blocking.Wait(asked) : await asked.ConfigureAwait(false);
            var hasAll = true;
            foreach (var ((run, wasWokenJustNow), fate) in waiters.Zip(fates))
            {
                if (fate == ParkedRunState.Gone && (run.IsParked || run.Waited > LongestParking)) gone.Add(run);
                // A run that was woken just now is about to request its lock. Of any other started run, the entry is a leftover, which a sweep removes.
                else if (fate == ParkedRunState.Started && run.IsParked && !wasWokenJustNow) hasAll = false;
            }

            return hasAll;
        }
        catch (Exception error) when (!stop.IsCancellationRequested)
        {
            log.StoreFailed(DisplayText.Name(store), waiters.Count, error);
            return false;
        }
    }

    [StructLayout(LayoutKind.Auto)]
    private readonly record struct Waiter(WaitingRun Run, bool WasWokenJustNow);
}
