using JobLocks.Locks;
using JobLocks.Primitives;
using JobLocks.Rules;
using JobLocks.WaitQueue;

namespace JobLocks.InMemory.WaitQueue;

/// <summary>The wait queue of this process. Only a check of waiters awaits anything: the answers of job stores. Thread-safe.</summary>
internal sealed class MemoryWaitQueue(MemoryDispatcher dispatcher, MemoryWaiterCheck waiterCheck, MemorySweep sweep, BackgroundWork work, JobLocksOptions options) : IWaitQueue
{
    private MemoryQueueTable Queue => dispatcher.Queue;

    public ValueTask<bool> IsUsableAsync(bool blocks, CancellationToken stop) => new(true);

    public void AddStore(IRunStore store)
    {
        // A wake is passed to the store at once, whether or not a worker is free.
        store.WorkerFreed = static () => { };
        dispatcher.ChangeThenGrantAndWake(() =>
        {
            dispatcher.Stores.Add(store);
            return [];
        });
        work.Add(() => sweep.SweepAsync(store));
    }

    public void RemoveStore(IRunStore store) => dispatcher.ChangeThenGrantAndWake(() =>
    {
        var ids = dispatcher.Stores.Remove(store);
        // The runs of a store in memory have ended with it.
        foreach (var entry in Queue.All.Where(entry => ids.Contains(entry.Store, StringComparer.Ordinal) && VolatileStore.Is(entry.Store) && dispatcher.Stores.IsClosed(entry.Store)).ToList())
            Queue.Remove(entry);
        return Queue.Keys;
    });

    public ValueTask<QueueEntry?> FindAsync(RunAddress run, bool blocks, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        return new(dispatcher.Read(() => Queue.Find(run) is { } entry ? MemoryRuns.AsEntry(entry, dispatcher.UtcNow, options.WakeTimeout) : null));
    }

    public ValueTask<EnqueueResult> EnqueueAsync(RunAddress run, LockRequest request, WaitRules rules, bool blocks, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        return new(AnnounceStoreAndEnqueue(run, () => Queue.Enqueue(run, request, rules.AtMost, QueueLimit(rules))));
    }

    public ValueTask<EnqueueResult> ReplaceOldestAsync(RunAddress run, LockRequest request, WaitRules rules, bool blocks, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        return new(AnnounceStoreAndEnqueue(run, Replace));

        EnqueueResult Replace()
        {
            var attempt = Queue.Enqueue(run, request, rules.AtMost, QueueLimit(rules));
            if (attempt.Entry is not null) return attempt;

            // The run is enqueued first. If the queue is too long for that, no other run is skipped for it.
            var extra = Queue.Enqueue(run, request, rules.AtMost, options.LongestWaitQueue);
            if (extra.Entry is not { } entry) return attempt;
            if (Queue.SkipOldest(request.Key, run, $"Skipped: a newer run has replaced it in the queue of {request}")) return extra with { Ahead = Math.Max(0, extra.Ahead - 1) };

            Queue.Dequeue(entry.Number);
            return attempt;
        }
    }

    public ValueTask<WaiterCheckResult> CheckWaitersAsync(LockKey key, int count, bool blocks, CancellationToken stop) =>
        Completed(waiterCheck.CheckFirstAsync(key, count, stop), blocks);

    public ValueTask<WaiterCheckResult> CheckCountedWaitersAsync(LockKey key, int count, bool blocks, CancellationToken stop) =>
        Completed(waiterCheck.CheckCountedAsync(key, count, stop), blocks);

    public ValueTask MarkParkedAsync(QueueEntry entry, bool blocks, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        var store = entry.Request!.Run.Store;
        dispatcher.Change(() =>
        {
            // The run has ended with the memory of its scheduler.
            if (VolatileStore.Is(store) && dispatcher.Stores.IsClosed(store)) Queue.Dequeue(entry.Number);
            else Queue.MarkParked(entry);
        });
        return default;
    }

    public WakeWatch WatchWake(QueueEntry entry) => dispatcher.InWorkers.Watch(entry.Number, entry.Key, isExclusive: false);

    public void CallNext(LockKey key, TimeSpan after)
    {
        // A job store starts a woken run soon after the wake: it needs no server, and no other process.
    }

    public ValueTask DequeueAsync(QueueEntry entry, bool blocks, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        dispatcher.ChangeThenGrantAndWake(() => Queue.Dequeue(entry.Number) is { } key ? [key] : []);
        return default;
    }

    public void DequeueLater(RunAddress run) => dispatcher.ChangeThenGrantAndWake(() => Queue.Find(run) is { } entry && Queue.Dequeue(entry.Number) is { } key ? [key] : []);

    public void WakeNext(LockKey key) => dispatcher.ChangeThenGrantAndWake(() => [key]);

    private int QueueLimit(WaitRules rules) => rules.Keep == 0 ? options.LongestWaitQueue : Math.Min(rules.Keep, options.LongestWaitQueue);

    private EnqueueResult AnnounceStoreAndEnqueue(RunAddress run, Func<EnqueueResult> enqueue) => dispatcher.Change(() =>
    {
        dispatcher.Stores.Announce(run.Store);
        return enqueue();
    });

    private static ValueTask<WaiterCheckResult> Completed(ValueTask<WaiterCheckResult> check, bool blocks) => blocks ? new(Blocking.Wait(check.AsTask())) : check;
}
