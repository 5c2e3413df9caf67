using JobLocks.Diagnostics;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Wakes the next runs of a key, and delivers the wakes to the job stores: directly where this process has claimed them, and by notifications to other
/// processes otherwise. Its methods block. Used by the thread of the <see cref="WakeDispatcher"/> alone; <see cref="LocallyWoken"/>,
/// <see cref="PendingWakes"/> and <see cref="LocallyParked"/> are thread-safe.
/// </summary>
internal sealed class RunWaker(
    PooledStatements statements, KnownStores stores, WakeRequests requests, WakeFailures failures, TimeSpan wakeTimeout, ILogger log)
{
    // A slow store must be able to write all wakes of one statement in time.
    private const int MostKeysAtOnce = 100;

    // Well below the five seconds after which a sweep considers a claimed wake lost.
    private static readonly TimeSpan DeliveryTimeout = TimeSpan.FromSeconds(3);

    /// <summary>The runs that this process woke itself, or whose deferred wake it claimed.</summary>
    public LocallyWokenRuns LocallyWoken { get; } = new();

    /// <summary>The runs whose wakes this process has claimed and that are not known to have started.</summary>
    public PendingWakes PendingWakes { get; } = new();

    /// <summary>The wakes of runs that stay in their workers.</summary>
    public InWorkerWakes InWorkers { get; } = new(statements, requests);

    /// <summary>Calls the job stores.</summary>
    public RunStoreCalls Calls { get; } = new(log);

    /// <summary>The entries of runs that have started according to their stores.</summary>
    public LeftoverEntries Leftovers { get; } = new(wakeTimeout);

    /// <summary>The runs that this process has parked.</summary>
    public LocallyParkedRuns LocallyParked { get; } = new();

    /// <summary>Wakes all runs that can run under these keys, in every store.</summary>
    /// <returns>The number of woken runs.</returns>
    public int Wake(IReadOnlyList<FreeKey> keys)
    {
        var woken = 0;
        foreach (var chunk in keys.Chunk(MostKeysAtOnce))
        {
            woken += WakeChunk(chunk);
            // Waiters of a key that was released in the meantime do not wait for the other chunks.
            WakeRequestedKeys();
        }

        return woken;
    }

    /// <summary>Wakes the waiters of the keys that <see cref="WakeDispatcher.RequestWakes"/> has collected.</summary>
    public void WakeRequestedKeys()
    {
        foreach (var released in requests.TakeFreeKeys().Chunk(MostKeysAtOnce)) WakeChunk(released);
    }

    /// <summary>Delivers wakes to their stores: directly where this process has claimed them, and by notifications to other processes otherwise.</summary>
    public void Deliver(IReadOnlyList<WaitingRun> woken)
    {
        PendingWakes.Add(woken.Where(static run => run.IsDeliveryClaimed));
        foreach (var ofStore in woken.Where(static run => run.IsDeliveryClaimed).GroupBy(static run => run.Address.Store, StringComparer.Ordinal))
        {
            // In their order, and in small chunks, so that the first of ten thousand runs need not wait for the last one.
            foreach (var chunk in ofStore.OrderBy(static run => run.Number).Chunk(100)) Deliver(stores.Find(ofStore.Key)!, chunk);
        }

        // A run that is not parked yet is left out: the process that parks it delivers its wake.
        var payloads = woken.Where(static run => run is { IsDeliveryClaimed: false, IsParked: true }).Select(static run => $"{run.Number} {run.Address.Store}")
            .Where(Notifications.IsShortEnough)
            .ToArray();
        if (payloads.Length > 0) Execute(WakeSql.Notify, new NpgsqlParameter<string[]> { TypedValue = payloads });
    }

    /// <summary>
    /// Delivers wakes. A run that was called is on its way already: it is not started a second time. But it may have been deleted since, so its store
    /// is asked.
    /// </summary>
    public void Deliver(IReadOnlyList<(WaitingRun Run, bool WasCalled)> woken)
    {
        Deliver([.. woken.Where(static run => !run.WasCalled).Select(static run => run.Run)]);
        foreach (var ofStore in woken.Where(static run => run is { WasCalled: true, Run.IsParked: true }).GroupBy(static run => run.Run.Address.Store, static run => run.Run, StringComparer.Ordinal))
        {
            if (stores.Find(ofStore.Key) is not { } store) continue;

            var states = Calls.CallStore([.. ofStore], store.GetStatesAsync).ToList();
            RemoveGoneRuns([.. states.Where(static run => run.State == ParkedRunState.Gone).Select(static run => run.Run)], wakesOthers: true);
            MarkPaused([.. states.Where(static run => run.State == ParkedRunState.Paused).Select(static run => run.Run)]);
        }
    }

    /// <summary>Delivers the wakes of a store that were not claimed for a while.</summary>
    /// <param name="store">The id of the store.</param>
    /// <param name="isLeader">Whether this process sweeps for the store: it then claims them in the end even without a free worker.</param>
    public void DeliverMissedWakes(string store, bool isLeader) =>
        Deliver(ReadRuns(SweepSql.ClaimMissedWakes, [Text(store), new NpgsqlParameter<bool> { TypedValue = isLeader }, .. FreeWorkerParameters(stores.Free)]));

    /// <summary>Removes the entries of runs that will never start.</summary>
    /// <param name="gone">The runs.</param>
    /// <param name="wakesOthers">Whether other runs are woken instead, because these runs were woken.</param>
    public void RemoveGoneRuns(IReadOnlyList<WaitingRun> gone, bool wakesOthers)
    {
        if (gone.Count == 0) return;

        foreach (var run in gone) Forget(run);
        Execute(EntrySql.Remove, NumbersOf(gone));
        if (wakesOthers) requests.Add(CountByKey(gone.Select(static run => run.Key)));
    }

    /// <summary>
    /// A run did not exist any more when it was woken. The runs after it may be missing as well, because the store was cleared: the store is asked about all
    /// of them together, instead of waking them one after the other.
    /// </summary>
    private void RemoveNextGoneRuns(IRunStore store, IEnumerable<LockKey> keys)
    {
        foreach (var key in keys)
        {
            var next = ReadRuns(EntrySql.FirstWaiters, new NpgsqlParameter<long> { TypedValue = key.Value }, new NpgsqlParameter<int> { TypedValue = MostKeysAtOnce })
                .Where(run => run.IsParked && string.Equals(run.Address.Store, store.Id, StringComparison.Ordinal)).ToList();
            if (next.Count == 0) continue;

            RemoveGoneRuns([.. Calls.CallStore(next, store.GetStatesAsync).Where(static run => run.State == ParkedRunState.Gone).Select(static run => run.Run)], wakesOthers: false);
        }
    }

    /// <summary>
    /// Removes the entries of runs that have started long ago, as their store says. Their locks may be held by these runs, so no other run is woken: the
    /// sweep wakes the next runs of free keys.
    /// </summary>
    public void RemoveLeftovers(IReadOnlyList<WaitingRun> leftovers)
    {
        if (leftovers.Count == 0) return;

        foreach (var run in leftovers) Forget(run);
        Execute(EntrySql.RemoveLeftovers, NumbersOf(leftovers));
    }

    public List<WaitingRun> ReadRuns(string sql, params NpgsqlParameter[] parameters)
    {
        var deliverBy = BootClock.Now + DeliveryTimeout;
        return Blocking.Wait(statements.ReadAsync(sql, row => ReadRun(row, deliverBy), blocks: true, CancellationToken.None, parameters).AsTask());
    }

    /// <summary>As <see cref="ReadRuns"/>, for a statement that also returns whether each run was called.</summary>
    public List<(WaitingRun Run, bool WasCalled)> ReadWoken(string sql, params NpgsqlParameter[] parameters)
    {
        var deliverBy = BootClock.Now + DeliveryTimeout;
        return Blocking.Wait(statements.ReadAsync(sql, row => (ReadRun(row, deliverBy), row.GetBoolean(10)), blocks: true, CancellationToken.None, parameters).AsTask());
    }

    public void Execute(string sql, params NpgsqlParameter[] parameters) =>
        Blocking.Wait(statements.RunAsync(sql, blocks: true, CancellationToken.None, parameters).AsTask());

    private static List<FreeKey> CountByKey(IEnumerable<LockKey> keys) => [.. keys.CountBy(static key => key).Select(static ofKey => new FreeKey(ofKey.Key, ofKey.Value))];

    private void Forget(WaitingRun run)
    {
        log.EntryRemoved(DisplayText.Name(run.Address.Run), DisplayText.Name(run.Name));
        LocallyParked.Remove(run.Number);
        LocallyWoken.Remove(run.Address);
    }

    private static NpgsqlParameter<string> Text(string value) => new() { TypedValue = value };

    public static NpgsqlParameter<long[]> NumbersOf(IEnumerable<WaitingRun> runs) => new() { TypedValue = [.. runs.Select(static run => run.Number)] };

    public static WaitingRun ReadRun(NpgsqlDataReader row, TimeSpan deliverBy) => new(
        row.GetInt64(0), new(row.GetInt64(1)), row.GetString(2), new(row.GetString(3), row.GetString(4), row.GetString(5)),
            row.GetBoolean(6), row.GetBoolean(7), row.GetFieldValue<DateTimeOffset>(8))
    {
        Waited = TimeSpan.FromSeconds(row.GetDouble(9)),
        WakeBy = deliverBy,
    };

    private int WakeChunk(FreeKey[] keys)
    {
        var woken = ReadWoken(
            WakeSql.Wake,
            [
                new NpgsqlParameter<long[]> { TypedValue = [.. keys.Select(static free => free.Key.Value)] },
                new NpgsqlParameter<int[]> { TypedValue = [.. keys.Select(static free => free.Free)] },
                new NpgsqlParameter<bool[]> { TypedValue = [.. keys.Select(static free => free.IncludesWoken)] },
                .. FreeWorkerParameters(stores.Free),
            ]);
        // Before their wakes are delivered: a worker may start the run at once.
        foreach (var (run, _) in woken.Where(static woken => woken.Run.IsDeliveryClaimed)) LocallyWoken.Add(run, BootClock.Now);
        Blocking.Wait(InWorkers.SignalWokenAsync(woken.Select(static woken => woken.Run), blocks: true).AsTask());
        Deliver(woken);
        if (woken.Exists(woken => woken is { WasCalled: false, Run: { IsDeliveryClaimed: false, IsParked: true } } && stores.Find(woken.Run.Address.Store) is not null)) Defer();
        return woken.Count;
    }

    /// <summary>
    /// Delivers wakes to a store of this process. If the process dies after it has claimed them, or in the middle of this, a sweep continues.
    /// </summary>
    public List<(WaitingRun Run, ParkedRunState State)> Deliver(IRunStore store, WaitingRun[] runs)
    {
        var states = Calls.WakeOnce(store, runs, out var wasRepeated);
        foreach (var (run, _) in states.Where(static run => run.State != ParkedRunState.Starting)) PendingWakes.Remove(run.Number);
        if (states.Exists(static run => run.State == ParkedRunState.StartingAnywhere)) NotifyOtherProcesses(runs[0].Address.Store);
        // The store was asked before the wake, so a run that has started did not start because of the wake, unless the wake was repeated.
        RemoveLeftovers(Leftovers.Note(states, mayBeOnTheWay: wasRepeated));
        var gone = states.Where(static run => run.State == ParkedRunState.Gone).Select(static run => run.Run).ToList();
        RemoveGoneRuns(gone, wakesOthers: true);
        if (gone.Count > 0) RemoveNextGoneRuns(store, [.. gone.Select(static run => run.Key).Distinct()]);
        MarkPaused([.. states.Where(static run => run.State == ParkedRunState.Paused).Select(static run => run.Run)]);
        return states;
    }

    /// <summary>Asks the schedulers of other processes to query a store: one of them must start a run that was woken here.</summary>
    public void NotifyOtherProcesses(string store)
    {
        // The payload has the form of a wake with an entry number that does not exist: a process of an earlier version finds nothing to do.
        var payload = $"{Notifications.NoEntry} {store}";
        if (Notifications.IsShortEnough(payload)) Execute(WakeSql.Notify, new NpgsqlParameter<string[]> { TypedValue = [payload] });
    }

    /// <summary>Notifies other processes for a sweep, which must continue when the notification queue of PostgreSQL is full.</summary>
    public void TryNotifyOtherProcesses(string store) => failures.Try(() => NotifyOtherProcesses(store));

    /// <summary>Lets the next runs bypass those that were paused by hand.</summary>
    private void MarkPaused(IReadOnlyList<WaitingRun> paused)
    {
        if (paused.Count == 0) return;

        foreach (var run in paused) LocallyWoken.Remove(run.Address);

        var keys = Blocking.Wait(statements.ReadAsync(
            WakeSql.MarkPaused, static row => new LockKey(row.GetInt64(0)), blocks: true, CancellationToken.None, NumbersOf(paused)).AsTask());
        requests.Add(CountByKey(keys));
    }

    /// <summary>Delivers the wakes of some entries that may not be delivered yet.</summary>
    public void DeliverWakes(long[] entries)
    {
        var runs = ReadRuns(WakeSql.ClaimWakes, [new NpgsqlParameter<long[]> { TypedValue = entries }, .. FreeWorkerParameters(stores.Free)]);
        Deliver(runs);
        if (runs.Count < entries.Length) Defer();
    }

    /// <summary>Delivers the wakes that were deferred until a worker of this process is free, or left to other processes.</summary>
    public void DeliverDeferredWakes()
    {
        if (stores.Free is not { Any: true } free) return;

        var deliverBy = BootClock.Now + DeliveryTimeout;
        var runs = Blocking.Wait(statements.ReadAsync(
            WakeSql.ClaimDeferredWakes, row => (Run: ReadRun(row, deliverBy), IsSkipped: row.GetBoolean(10), WokenAt: row.IsDBNull(11) ? (TimeSpan?)null : BootClock.Now - TimeSpan.FromSeconds(row.GetDouble(11))),
                blocks: true, CancellationToken.None, FreeWorkerParameters(free)).AsTask());
        if (runs.Count == 0 && !AnyUndelivered(free)) requests.HasDeferredWakes = false;
        // A run that is to be skipped must read its entry.
        foreach (var (run, _, wokenAt) in runs.Where(static claimed => !claimed.IsSkipped)) LocallyWoken.Add(run, wokenAt);
        Deliver([.. runs.Select(static claimed => claimed.Run)]);
    }

    /// <summary>Whether wakes are left for the time when the pending ones have started and a worker is free again.</summary>
    private bool AnyUndelivered(FreeWorkers free) =>
        Blocking.Wait(statements.ReadAsync(
            WakeSql.AnyUndelivered, static row => row.GetBoolean(0), blocks: true, CancellationToken.None, free.Parameters([])[0]).AsTask()) is [true];

    /// <summary>Leaves wakes to the first process that has a free worker, which may be this process.</summary>
    private void Defer()
    {
        requests.HasDeferredWakes = true;
        // A worker may have become free after the claim.
        if (stores.Free.Any) requests.WorkerFreed();
    }

    /// <summary>The parameters of <see cref="WorkersSql.ClaimableRows"/>, without the workers that runs on their way will need.</summary>
    public NpgsqlParameter[] FreeWorkerParameters(FreeWorkers free)
    {
        if (PendingWakes.AreMany)
        {
            var entries = PendingWakes.Entries;
            var pending = Blocking.Wait(statements.ReadAsync(
                WakeSql.PendingWakes, static row => row.GetInt64(0), blocks: true, CancellationToken.None, new NpgsqlParameter<long[]> { TypedValue = entries }).AsTask());
            PendingWakes.KeepPending(entries, pending.ToHashSet());
        }

        return free.Parameters(PendingWakes.Entries);
    }
}
