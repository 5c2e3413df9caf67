using JobLocks.Gate;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;

namespace JobLocks.InMemory.WaitQueue;

/// <summary>Asks the job stores whether they still have the waiters of a key, before a run is skipped or failed because of these waiters. Thread-safe.</summary>
internal sealed class MemoryWaiterCheck(MemoryDispatcher dispatcher, ILogger log)
{
    // A woken run asks for its lock by then.
    private static readonly TimeSpan LongestEntering = TimeSpan.FromSeconds(5);

    private readonly WaitersInStores _stores = new(id => dispatcher.Read(() => dispatcher.Stores.Find(id)), log);

    /// <summary>Checks the first waiters that precede others, and removes the entries of runs that do not exist any more.</summary>
    public ValueTask<WaiterCheckResult> CheckFirstAsync(LockKey key, int count, CancellationToken stop) =>
        CheckAsync(() => dispatcher.Queue.Of(key).Where(dispatcher.Queue.Precedes).Take(Math.Min(count, WaitersInStores.MostChecked)), WaiterCheckResult.SomeRemoved, key, count, stop);

    /// <summary>Checks the waiters that count for the length of the queue, and the waiter that a newer run would replace.</summary>
    public ValueTask<WaiterCheckResult> CheckCountedAsync(LockKey key, int count, CancellationToken stop) =>
        CheckAsync(() => Counted(key, Math.Min(count, WaitersInStores.MostChecked)), WaiterCheckResult.AllExist, key, count, stop);

    private IEnumerable<MemoryQueueEntry> Counted(LockKey key, int count)
    {
        var counted = dispatcher.Queue.Of(key).Where(dispatcher.Queue.Counts).ToList();
        return counted.Take(count).Union(counted.Where(static entry => !entry.IsWoken).Take(1));
    }

    private async ValueTask<WaiterCheckResult> CheckAsync(Func<IEnumerable<MemoryQueueEntry>> find, WaiterCheckResult ifEmpty, LockKey key, int count, CancellationToken stop)
    {
        var waiters = dispatcher.Read(() => find().Select(entry => new WaitersInStores.Waiter(MemoryRuns.AsWaiting(entry, dispatcher.UtcNow), WasWokenJustNow(entry))).ToList());
        if (waiters.Count == 0) return ifEmpty;

        var (gone, areOthersThere) = await _stores.AskAsync(waiters, blocks: false, stop).ConfigureAwait(false);
        if (gone.Count == 0) return areOthersThere && count <= WaitersInStores.MostChecked ? WaiterCheckResult.AllExist : WaiterCheckResult.Unconfirmed;

        dispatcher.ChangeThenGrantAndWake(() =>
        {
            foreach (var run in gone)
            {
                if (dispatcher.Queue.Find(run.Number) is { } entry) dispatcher.Queue.Remove(entry);
            }

            return [key];
        });
        return WaiterCheckResult.SomeRemoved;
    }

    private bool WasWokenJustNow(MemoryQueueEntry entry) => entry.IsWoken && entry.WokenAt > dispatcher.UtcNow - LongestEntering;
}
