using System.Runtime.InteropServices;
using JobLocks.Diagnostics;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;

namespace JobLocks.InMemory.WaitQueue;

/// <summary>Asks the job stores whether they still have the waiters of a key, before a run is dropped because of these waiters. Thread-safe.</summary>
internal sealed class MemoryWaiterCheck(MemoryDispatcher dispatcher, ILogger log)
{
    private const int MostChecked = 1000;

    // A store parks a run shortly after the run was enqueued.
    private static readonly TimeSpan LongestParking = TimeSpan.FromSeconds(2);

    // A woken run asks for its lock by then.
    private static readonly TimeSpan LongestEntering = TimeSpan.FromSeconds(5);

    /// <summary>Checks the first waiters that precede others, and removes the entries of runs that do not exist any more.</summary>
    public ValueTask<WaiterCheckResult> CheckFirstAsync(LockKey key, int count, CancellationToken stop) =>
        CheckAsync(() => dispatcher.Queue.Of(key).Where(dispatcher.Queue.Precedes).Take(Math.Min(count, MostChecked)), WaiterCheckResult.SomeRemoved, key, count, stop);

    /// <summary>Checks the waiters that count for the length of the queue, and the waiter that a newer run would replace.</summary>
    public ValueTask<WaiterCheckResult> CheckCountedAsync(LockKey key, int count, CancellationToken stop) =>
        CheckAsync(() => Counted(key, Math.Min(count, MostChecked)), WaiterCheckResult.AllExist, key, count, stop);

    private IEnumerable<MemoryQueueEntry> Counted(LockKey key, int count)
    {
        var counted = dispatcher.Queue.Of(key).Where(dispatcher.Queue.Counts).ToList();
        return counted.Take(count).Union(counted.Where(static entry => !entry.IsWoken).Take(1));
    }

    private async ValueTask<WaiterCheckResult> CheckAsync(Func<IEnumerable<MemoryQueueEntry>> find, WaiterCheckResult ifEmpty, LockKey key, int count, CancellationToken stop)
    {
        var waiters = dispatcher.Read(() => find().Select(entry => new Waiter(MemoryRuns.AsWaiting(entry, dispatcher.UtcNow), WasWokenJustNow(entry))).ToList());
        if (waiters.Count == 0) return ifEmpty;

        var answer = count > MostChecked ? WaiterCheckResult.NoAnswer : WaiterCheckResult.AllExist;
        var gone = new List<WaitingRun>();
        foreach (var ofStore in waiters.GroupBy(static waiter => waiter.Run.Address.Store, StringComparer.Ordinal))
        {
            if (!await CheckStoreAsync(ofStore.Key, [.. ofStore], gone, stop).ConfigureAwait(false)) answer = WaiterCheckResult.NoAnswer;
        }

        if (gone.Count == 0) return answer;

        foreach (var run in gone) log.EntryRemoved(DisplayText.Name(run.Address.Run), DisplayText.Name(run.Name));
        dispatcher.ChangeAndSettle(() =>
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

    /// <summary>Adds the runs that will never start to <paramref name="gone"/>.</summary>
    /// <returns>Whether the store has all the others. False also where this process cannot ask the store.</returns>
    private async ValueTask<bool> CheckStoreAsync(string store, IReadOnlyList<Waiter> waiters, List<WaitingRun> gone, CancellationToken stop)
    {
        if (dispatcher.Read(() => dispatcher.Stores.Find(store)) is not { } served) return false;

        try
        {
            var states = await served.GetStatesAsync([.. waiters.Select(static waiter => waiter.Run)], stop).ConfigureAwait(false);
            var hasAll = true;
            foreach (var ((run, wasWokenJustNow), state) in waiters.Zip(states))
            {
                if (state == ParkedRunState.Gone && (run.IsParked || run.Waited > LongestParking)) gone.Add(run);
                // A run that was woken just now is about to request its lock. Of any other started run, the entry is a leftover.
                else if (state == ParkedRunState.Started && run.IsParked && !wasWokenJustNow) hasAll = false;
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
