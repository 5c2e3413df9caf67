using JobLocks.Diagnostics;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;

namespace JobLocks.InMemory.WaitQueue;

/// <summary>
/// Makes job stores start woken runs, and applies their answers. Free workers are not counted: no other process could start a run sooner than the first free
/// worker of this one. Used by one piece of <see cref="BackgroundWork"/> at a time.
/// </summary>
internal sealed class MemoryWakeDelivery(MemoryDispatcher dispatcher, ILogger log)
{
    /// <summary>Delivers the wakes of runs to their stores.</summary>
    public async Task DeliverAsync(IReadOnlyList<WaitingRun> woken)
    {
        foreach (var ofStore in woken.GroupBy(static run => run.Address.Store, StringComparer.Ordinal))
        {
            if (dispatcher.Read(() => dispatcher.Stores.Find(ofStore.Key)) is { } store) await DeliverAsync(store, [.. ofStore]).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Asks a store about some runs. If it fails for all at once, it is asked about each of them alone, so that one run does not delay the others. Runs
    /// without an answer are left out: a sweep asks again.
    /// </summary>
    public async Task<IReadOnlyList<(WaitingRun Run, ParkedRunState State)>> AskAsync(
        IReadOnlyList<WaitingRun> runs, Func<IReadOnlyList<WaitingRun>, ValueTask<IReadOnlyList<ParkedRunState>>> ask, Func<WaitingRun, ValueTask<ParkedRunState>> askAlone)
    {
        try
        {
            return [.. runs.Zip(await ask(runs).ConfigureAwait(false))];
        }
        catch (Exception error)
        {
            log.StoreFailed(DisplayText.Name(runs[0].Address.Store), runs.Count, error);
            if (runs.Count == 1) return [];
        }

        var answers = new List<(WaitingRun, ParkedRunState)>();
        foreach (var run in runs)
        {
            try
            {
                answers.Add((run, await askAlone(run).ConfigureAwait(false)));
            }
            catch (Exception error)
            {
                log.StoreFailed(DisplayText.Name(run.Address.Store), 1, error);
            }
        }

        return answers;
    }

    /// <summary>Removes the entries of runs that do not exist any more, and has other runs bypass those that were paused by hand.</summary>
    public void Apply(IReadOnlyList<(WaitingRun Run, ParkedRunState State)> answers)
    {
        foreach (var (gone, _) in answers.Where(static answer => answer.State == ParkedRunState.Gone))
            log.EntryRemoved(DisplayText.Name(gone.Address.Run), DisplayText.Name(gone.Name));

        dispatcher.ChangeThenGrantAndWake(() =>
        {
            var changed = new List<LockKey>();
            foreach (var (run, state) in answers.Where(static answer => answer.State is ParkedRunState.Gone or ParkedRunState.Paused))
            {
                if (dispatcher.Queue.Find(run.Number) is not { } entry) continue;

                if (state == ParkedRunState.Gone) dispatcher.Queue.Remove(entry);
                else if (entry.State == MemoryQueueEntry.Wake.Woken) entry.MarkPaused();
                changed.Add(run.Key);
            }

            return changed;
        });
    }

    private async Task DeliverAsync(IRunStore store, IReadOnlyList<WaitingRun> runs)
    {
        var answers = await AskAsync(runs, all => store.WakeAsync(all, CancellationToken.None), WakeUnlessStartedAsync).ConfigureAwait(false);
        if (answers.Any(static answer => answer.State == ParkedRunState.StartingAnywhere))
        {
            foreach (var scheduler in dispatcher.Read(() => dispatcher.Stores.FindAll(runs[0].Address.Store))) scheduler.RequeryStore();
        }

        Apply(answers);

        // The answer to the first attempt was lost, so the run may have been started.
        async ValueTask<ParkedRunState> WakeUnlessStartedAsync(WaitingRun run)
        {
            var states = await store.GetStatesAsync([run], CancellationToken.None).ConfigureAwait(false);
            return states is [ParkedRunState.Parked or ParkedRunState.Rescheduled] ? (await store.WakeAsync([run], CancellationToken.None).ConfigureAwait(false))[0] : states[0];
        }
    }
}
