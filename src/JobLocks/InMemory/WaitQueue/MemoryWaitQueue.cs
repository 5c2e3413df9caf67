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

    public void Serve(IRunStore store)
    {
        // A wake is passed to the store at once, whether or not a worker is free.
        store.WorkerFreed = static () => { };
        dispatcher.ChangeAndSettle(() =>
        {
            dispatcher.Stores.Add(store);
            return [];
        });
        work.Add(() => sweep.SweepAsync(store));
    }

    public void Forget(IRunStore store) => dispatcher.ChangeAndSettle(() =>
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
        return new(dispatcher.Read(() => Queue.Find(run) is { } entry ? MemoryRuns.AsEntry(entry, dispatcher.UtcNow) : null));
    }

    public ValueTask<EnqueueResult> EnqueueAsync(RunAddress run, LockRequest request, WaitRules rules, bool blocks, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        return new(Enter(run, () => Queue.Enqueue(run, request, rules.AtMost, QueueLimit(rules))));
    }

    public ValueTask<EnqueueResult> ReplaceOldestAsync(RunAddress run, LockRequest request, WaitRules rules, bool blocks, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        return new(Enter(run, Replace));

        EnqueueResult Replace()
        {
            var attempt = Queue.Enqueue(run, request, rules.AtMost, QueueLimit(rules));
            if (attempt.Entry is not null) return attempt;

            // The run is enqueued first. If the queue is too long for that, no other run is dropped for it.
            var extra = Queue.Enqueue(run, request, rules.AtMost, options.LongestWaitQueue);
            if (extra.Entry is not { } entry) return attempt;
            if (Queue.DropOldest(request.Key, run, $"Skipped: a newer run has replaced it in the queue of {request}")) return extra with { Ahead = Math.Max(0, extra.Ahead - 1) };

            Queue.Dequeue(entry.Number);
            return attempt;
        }
    }

    public ValueTask<WaiterCheckResult> CheckWaitersAsync(LockKey key, int count, bool blocks, CancellationToken stop) =>
        Completed(waiterCheck.CheckFirstAsync(key, count, stop), blocks);

    public ValueTask<WaiterCheckResult> CheckCountedWaitersAsync(LockKey key, int count, bool blocks, CancellationToken stop) =>
        Completed(waiterCheck.CheckCountedAsync(key, count, stop), blocks);

    public ValueTask ParkAsync(QueueEntry entry, bool blocks, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        var store = entry.Request!.Run.Store;
        dispatcher.Change(() =>
        {
            // The run has ended with the memory of its scheduler.
            if (VolatileStore.Is(store) && dispatcher.Stores.IsClosed(store)) Queue.Dequeue(entry.Number);
            else Queue.Park(entry);
        });
        return default;
    }

    public ValueTask DequeueAsync(QueueEntry entry, bool blocks, CancellationToken stop)
    {
        stop.ThrowIfCancellationRequested();
        dispatcher.ChangeAndSettle(() => Queue.Dequeue(entry.Number) is { } key ? [key] : []);
        return default;
    }

    public void DequeueLater(RunAddress run) => dispatcher.ChangeAndSettle(() => Queue.Find(run) is { } entry && Queue.Dequeue(entry.Number) is { } key ? [key] : []);

    public void WakeNext(LockKey key) => dispatcher.ChangeAndSettle(() => [key]);

    private int QueueLimit(WaitRules rules) => rules.Keep == 0 ? options.LongestWaitQueue : Math.Min(rules.Keep, options.LongestWaitQueue);

    private EnqueueResult Enter(RunAddress run, Func<EnqueueResult> enqueue) => dispatcher.Change(() =>
    {
        dispatcher.Stores.Show(run.Store);
        return enqueue();
    });

    private static ValueTask<WaiterCheckResult> Completed(ValueTask<WaiterCheckResult> check, bool blocks) => blocks ? new(Blocking.Wait(check.AsTask())) : check;
}
