using System.Runtime.InteropServices;
using JobLocks.Diagnostics;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;

namespace JobLocks.Gate;

/// <summary>
/// Asks the job stores whether they still have the waiters because of which a run would be skipped or failed. The same for every wait queue: it reads the waiters
/// before, and removes the entries of those that are gone. Thread-safe.
/// </summary>
/// <param name="find">Returns the store with an id; null where this process does not know it.</param>
/// <param name="log">The log.</param>
internal sealed class WaitersInStores(Func<string, IRunStore?> find, ILogger log)
{
    /// <summary>How many waiters are asked about at most.</summary>
    public const int MostChecked = 1000;

    // A store parks a run shortly after the run was enqueued.
    private static readonly TimeSpan LongestParking = TimeSpan.FromSeconds(2);

    /// <summary>Asks each store once.</summary>
    /// <param name="waiters">The waiters.</param>
    /// <param name="blocks">Whether to block the calling thread instead of awaiting.</param>
    /// <param name="stop">Cancels the call.</param>
    /// <returns>The runs that will never start, and whether the stores have all the others.</returns>
    public async ValueTask<(IReadOnlyList<WaitingRun> Gone, bool AreOthersThere)> AskAsync(IReadOnlyList<Waiter> waiters, bool blocks, CancellationToken stop)
    {
        var gone = new List<WaitingRun>();
        var areOthersThere = true;
        foreach (var ofStore in waiters.GroupBy(static waiter => waiter.Run.Address.Store, StringComparer.Ordinal))
            areOthersThere &= await AskAsync(ofStore.Key, [.. ofStore], gone, blocks, stop).ConfigureAwait(false);
        foreach (var run in gone) log.EntryRemoved(DisplayText.Name(run.Address.Run), DisplayText.Name(run.Name));
        return (gone, areOthersThere);
    }

    private async ValueTask<bool> AskAsync(string id, IReadOnlyList<Waiter> waiters, List<WaitingRun> gone, bool blocks, CancellationToken stop)
    {
        if (find(id) is not { } store) return false;

        try
        {
            var asked = store.GetStatesAsync([.. waiters.Select(static waiter => waiter.Run)], stop).AsTask();
            var states = blocks ? Blocking.Wait(asked) : await asked.ConfigureAwait(false);
            var areOthersThere = true;
            foreach (var ((run, wasWokenJustNow), state) in waiters.Zip(states))
            {
                if (state == ParkedRunState.Gone && (run.IsParked || run.Waited > LongestParking)) gone.Add(run);
                // A run that was woken just now is about to request its lock. Of any other started run, the entry is a leftover, which a sweep removes.
                else if (state == ParkedRunState.Started && run.IsParked && !wasWokenJustNow) areOthersThere = false;
            }

            return areOthersThere;
        }
        catch (Exception error) when (!stop.IsCancellationRequested)
        {
            log.StoreFailed(DisplayText.Name(id), waiters.Count, error);
            return false;
        }
    }

    /// <summary>A waiter.</summary>
    /// <param name="Run">Its run.</param>
    /// <param name="WasWokenJustNow">Whether the run was woken so recently that it may be on its way to its lock.</param>
    [StructLayout(LayoutKind.Auto)]
    internal readonly record struct Waiter(WaitingRun Run, bool WasWokenJustNow);
}
