using JobLocks.Diagnostics;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Asks the stores of the runs that stand under a key whether they still have them. Needed before a run is dropped on account of those, and not on the path
/// of a run that only waits. Thread-safe.
/// </summary>
internal sealed class WaiterCheck(WaitQueueStatements statements, WakeDispatcher watch, ILogger log)
{
    private const int MostAsked = 1000;

    // A store keeps a run a moment after the run has taken its place.
    private static readonly TimeSpan LongestParking = TimeSpan.FromSeconds(2);

    /// <summary>Asks for the first runs that stand before others, and removes the places of those that are gone.</summary>
    /// <param name="key">The key.</param>
    /// <param name="count">How many are counted from the first on.</param>
    /// <param name="blocks">Whether the caller has no asynchronous way.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="NpgsqlException">The line cannot be asked.</exception>
    public ValueTask<WaiterCheckResult> CheckFirstAsync(LockKey key, int count, bool blocks, CancellationToken stop) => AskAsync(EntrySql.First, WaiterCheckResult.SomeWereGone, key, count, blocks, stop);

    /// <summary>The same for those that count for the length of the line, and for the one that a newer run would replace.</summary>
    /// <param name="key">The key.</param>
    /// <param name="count">How many are counted from the first on.</param>
    /// <param name="blocks">Whether the caller has no asynchronous way.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="NpgsqlException">The line cannot be asked.</exception>
    public ValueTask<WaiterCheckResult> CheckCountedAsync(LockKey key, int count, bool blocks, CancellationToken stop) => AskAsync(EntrySql.FirstCounted, WaiterCheckResult.AllAreThere, key, count, blocks, stop);

    /// <summary>One question for each store.</summary>
    private async ValueTask<WaiterCheckResult> AskAsync(string which, WaiterCheckResult ifNone, LockKey key, int count, bool blocks, CancellationToken stop)
    {
        var runs = await statements.ReadAsync(
            which,
            static row => WakeDispatcher.ReadRun(row, TimeSpan.MaxValue),
            blocks,
            stop,
            new NpgsqlParameter<long> { TypedValue = key.Value },
            new NpgsqlParameter<int> { TypedValue = Math.Min(count, MostAsked) }).ConfigureAwait(false);
        if (runs.Count == 0) return ifNone;

        var answer = count > MostAsked ? WaiterCheckResult.NoAnswer : WaiterCheckResult.AllAreThere;
        var gone = new List<WaitingRun>();
        foreach (var ofStore in runs.GroupBy(static run => run.Address.Store, StringComparer.Ordinal))
        {
            if (await GoneAsync(ofStore.Key, [.. ofStore], blocks, stop).ConfigureAwait(false) is { } some) gone.AddRange(some);
            else answer = WaiterCheckResult.NoAnswer;
        }

        if (gone.Count == 0) return answer;

        foreach (var run in gone) log.GaveUp(DisplayText.Name(run.Address.Run), DisplayText.Name(run.Name));
        await statements.RunAsync(EntrySql.Leave, blocks, stop, new NpgsqlParameter<long[]> { TypedValue = [.. gone.Select(static run => run.Place)] }).ConfigureAwait(false);
        watch.TurnCame([new(key)]);
        return WaiterCheckResult.SomeWereGone;
    }

    /// <summary>Those that will not come; null where the store gives no answer here.</summary>
    private async ValueTask<IReadOnlyList<WaitingRun>?> GoneAsync(string store, IReadOnlyList<WaitingRun> runs, bool blocks, CancellationToken stop)
    {
        if (watch.StoreOf(store) is not { } served) return null;

        try
        {
            var asked = served.LookAsync(runs, stop).AsTask();
            var fates = blocks ? Blocking.Wait(asked) : await asked.ConfigureAwait(false);
            return [.. runs.Zip(fates).Where(static of => of.Second == RunFate.IsGone && (of.First.IsParked || of.First.Waited > LongestParking)).Select(static of => of.First)];
        }
        catch (Exception broken) when (!stop.IsCancellationRequested)
        {
            log.StoreFailed(DisplayText.Name(store), runs.Count, broken);
            return null;
        }
    }
}
