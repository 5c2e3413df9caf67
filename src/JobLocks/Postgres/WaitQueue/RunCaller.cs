using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Calls runs: starts the next runs of some keys in their stores although their locks are held, so that they wait in workers of this process. Its methods
/// block. Used by the thread of the <see cref="WakeDispatcher"/> alone.
/// </summary>
internal sealed class RunCaller(PooledStatements statements, KnownStores stores, RunWaker waker, WakeRequests requests, double largestWaitingShare)
{
    /// <summary>Calls the next run of each key, as far as there is room for runs that wait.</summary>
    public void Call(IReadOnlyList<LockKey> keys)
    {
        if (stores.RoomToWait(largestWaitingShare) is not { Any: true } room) return;

        var called = waker.ReadRuns(WakeSql.Call, [new NpgsqlParameter<long[]> { TypedValue = [.. keys.Select(static key => key.Value)] }, .. waker.FreeWorkerParameters(room)]);
        waker.PendingWakes.Add(called);
        foreach (var ofStore in called.GroupBy(static run => run.Address.Store, StringComparer.Ordinal))
        {
            // A run without an answer may have started, so its call stays: a sweep asks the store about it when it is woken.
            TakeBack(stores.Find(ofStore.Key) is not { } store ? [.. ofStore] : [.. waker.Deliver(store, [.. ofStore])
                .Where(static run => run.State is not (ParkedRunState.Starting or ParkedRunState.StartingAnywhere or ParkedRunState.Started)).Select(static run => run.Run)]);
        }
    }

    /// <summary>Takes back the calls of runs that did not start. Those that were woken meanwhile are delivered like any other wake.</summary>
    private void TakeBack(List<WaitingRun> notStarted)
    {
        if (notStarted.Count == 0) return;

        foreach (var run in notStarted) waker.PendingWakes.Remove(run.Number);
        var woken = Blocking.Wait(statements.ReadAsync(
            WakeSql.TakeCallsBack, static row => row.GetInt64(0), blocks: true, CancellationToken.None, RunWaker.NumbersOf(notStarted)).AsTask());
        foreach (var entry in woken) requests.AddEntry(entry);
    }
}
