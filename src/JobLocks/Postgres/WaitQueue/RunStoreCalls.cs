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
    /// Calls a store for some runs. If the call fails for all at once, it is repeated run by run, so that one run does not delay the others. A store that
    /// failed only after a long time is unreachable: it is not called again, so that it does not delay the runs of other stores.
    /// </summary>
    /// <param name="runs">The runs.</param>
    /// <param name="call">Calls the store, and returns the state of each run.</param>
    public IEnumerable<(WaitingRun Run, ParkedRunState State)> CallStore(
        IReadOnlyList<WaitingRun> runs, Func<IReadOnlyList<WaitingRun>, CancellationToken, ValueTask<IReadOnlyList<ParkedRunState>>> call)
    {
        var calledAt = BootClock.Now;
        try
        {
            return [.. runs.Zip(Blocking.Wait(call(runs, CancellationToken.None).AsTask()))];
        }
        catch (Exception error)
        {
            log.StoreFailed(DisplayText.Name(runs[0].Address.Store), runs.Count, error);
            return runs.Count == 1 || BootClock.Now - calledAt > QuickAnswer ? [] : CallOneByOne(runs, call);
        }
    }

    private List<(WaitingRun Run, ParkedRunState State)> CallOneByOne(
        IReadOnlyList<WaitingRun> runs, Func<IReadOnlyList<WaitingRun>, CancellationToken, ValueTask<IReadOnlyList<ParkedRunState>>> call)
    {
        var states = new List<(WaitingRun, ParkedRunState)>();
        foreach (var run in runs)
        {
            var calledAt = BootClock.Now;
            var before = states.Count;
            states.AddRange(CallStore([run], call));
            if (states.Count == before && BootClock.Now - calledAt > QuickAnswer) break;
        }

        return states;
    }

    /// <summary>
    /// Makes a store start some runs. After an error, some of them may have been started nevertheless: the store is asked before a run is tried again.
    /// </summary>
    /// <param name="store">The store.</param>
    /// <param name="runs">The runs.</param>
    /// <param name="wasRepeated">Whether the wake was repeated after an error: a run that has started may then have started because of the first wake.</param>
    public List<(WaitingRun Run, ParkedRunState State)> WakeOnce(IRunStore store, IReadOnlyList<WaitingRun> runs, out bool wasRepeated)
    {
        var calls = 0;
        async ValueTask<IReadOnlyList<ParkedRunState>> WakeAsync(IReadOnlyList<WaitingRun> chunk, CancellationToken stop)
        {
            if (++calls == 1) return await store.WakeAsync(chunk, stop).ConfigureAwait(false);

            var now = await store.GetStatesAsync(chunk, stop).ConfigureAwait(false);
            return now is [ParkedRunState.Parked or ParkedRunState.Rescheduled] && !chunk[0].IsTooLate ? await store.WakeAsync(chunk, stop).ConfigureAwait(false) : now;
        }

        List<(WaitingRun, ParkedRunState)> states = [.. CallStore(runs, WakeAsync)];
        wasRepeated = calls > 1;
        return states;
    }
}
