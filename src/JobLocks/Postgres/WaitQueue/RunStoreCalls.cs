using JobLocks.Diagnostics;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>Calls job stores about their runs, so that an error for one run does not concern the others. Its methods block. Thread-safe.</summary>
internal sealed class RunStoreCalls(ILogger log)
{
    private static readonly TimeSpan QuickAnswer = TimeSpan.FromSeconds(1);

    /// <summary>
    /// Asks a store for the states of its runs. If it refuses all at once, they are read one by one, so that one run does not delay the others. A store that
    /// failed only after a long time is unreachable: it is not asked again, so that it does not delay the runs of other stores.
    /// </summary>
    public IEnumerable<(WaitingRun Run, ParkedRunState State)> ReadStates(
        IReadOnlyList<WaitingRun> runs, Func<IReadOnlyList<WaitingRun>, CancellationToken, ValueTask<IReadOnlyList<ParkedRunState>>> ask)
    {
        var askedAt = BootClock.Now;
        try
        {
            return [.. runs.Zip(Blocking.Wait(ask(runs, CancellationToken.None).AsTask()))];
        }
        catch (Exception error)
        {
            log.StoreFailed(DisplayText.Name(runs[0].Address.Store), runs.Count, error);
            return runs.Count == 1 || BootClock.Now - askedAt > QuickAnswer ? [] : ReadOneByOne(runs, ask);
        }
    }

    private List<(WaitingRun Run, ParkedRunState State)> ReadOneByOne(
        IReadOnlyList<WaitingRun> runs, Func<IReadOnlyList<WaitingRun>, CancellationToken, ValueTask<IReadOnlyList<ParkedRunState>>> ask)
    {
        var states = new List<(WaitingRun, ParkedRunState)>();
        foreach (var run in runs)
        {
            var askedAt = BootClock.Now;
            var before = states.Count;
            states.AddRange(ReadStates([run], ask));
            if (states.Count == before && BootClock.Now - askedAt > QuickAnswer) break;
        }

        return states;
    }

    /// <summary>
    /// Makes a store start some runs. After an error, some of them may have been started nevertheless: the store is asked before a run is tried again.
    /// </summary>
    /// <param name="store">The store.</param>
    /// <param name="runs">The runs.</param>
    /// <param name="hasFailed">Whether there was an error: a run that has started may then have started because of the wake.</param>
    public List<(WaitingRun Run, ParkedRunState State)> WakeOnce(IRunStore store, IReadOnlyList<WaitingRun> runs, out bool hasFailed)
    {
        var calls = 0;
        async ValueTask<IReadOnlyList<ParkedRunState>> WakeAsync(IReadOnlyList<WaitingRun> chunk, CancellationToken stop)
        {
            if (++calls == 1) return await store.WakeAsync(chunk, stop).ConfigureAwait(false);

            var fates = await store.GetStatesAsync(chunk, stop).ConfigureAwait(false);
            return fates is [ParkedRunState.Parked or ParkedRunState.Rescheduled] && !chunk[0].IsTooLate ? await store.WakeAsync(chunk, stop).ConfigureAwait(false) : fates;
        }

        List<(WaitingRun, ParkedRunState)> states = [.. ReadStates(runs, WakeAsync)];
        hasFailed = calls > 1;
        return states;
    }
}
