using System.Collections.Concurrent;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Entering;

/// <summary>
/// The last firings of repeating triggers, between the store and their start. A store in memory removes a trigger without a next time when any firing of
/// it ends, the last one on its way back into the store or not. Thread-safe.
/// </summary>
internal sealed class LastFirings(IJobStore store)
{
    private readonly ConcurrentDictionary<string, FiredRun> _onTheirWay = new(StringComparer.Ordinal);

    /// <summary>From here on, ends of other firings are noted.</summary>
    public async ValueTask WatchAsync(FiredRun run)
    {
        if (store.SupportsPersistence || !run.IsLastOfSeveral) return;

        _onTheirWay[run.Id] = run;
        // One may have ended before that.
        if (!await store.Exists(run.Stored.Key, CancellationToken.None).ConfigureAwait(false)) run.IsLeftByOthers = true;
    }

    /// <summary>A firing is about to end in the store, not because the job has unscheduled its trigger.</summary>
    public void OtherEnds(TriggeredJobCompleteContext ended)
    {
        if (_onTheirWay.IsEmpty || ended.Instruction is not (SchedulerInstruction.NoInstruction or SchedulerInstruction.DeleteTrigger)) return;

        foreach (var (id, run) in _onTheirWay)
        {
            if (run.Stored.Key.Equals(ended.Trigger.Key) && !string.Equals(id, ended.Trigger.FireInstanceId, StringComparison.Ordinal)) run.IsLeftByOthers = true;
        }
    }

    /// <summary>The firing has ended, or its run is in the store again.</summary>
    public void Forget(string fireInstanceId) => _onTheirWay.TryRemove(fireInstanceId, out _);
}
