using System.Collections.Concurrent;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Entering;

/// <summary>
/// Tracks the last firing of each repeating trigger until it has ended or is back in the store. A store in memory removes a trigger without a next time when
/// any of its firings ends. The last firing may be about to be put back, and would then lose its trigger. Thread-safe.
/// </summary>
internal sealed class LastFirings(IJobStore store)
{
    private readonly ConcurrentDictionary<string, FiredRun> _tracked = new(StringComparer.Ordinal);

    /// <summary>Begins to track a firing: from now on, ends of other firings of its trigger are noted.</summary>
    public async ValueTask WatchAsync(FiredRun run)
    {
        if (store.SupportsPersistence || !run.IsLastOfSeveral) return;

        _tracked[run.Id] = run;
        // Another firing may have ended before this call.
        if (!await store.Exists(run.Stored.Key, CancellationToken.None).ConfigureAwait(false)) run.HasOtherFiringEnded = true;
    }

    /// <summary>Notes that a firing is about to end in the store. Ends in which the job has unscheduled its trigger do not count.</summary>
    public void NoteEnd(TriggeredJobCompleteContext ended)
    {
        if (_tracked.IsEmpty || ended.Instruction is not (SchedulerInstruction.NoInstruction or SchedulerInstruction.DeleteTrigger)) return;

        foreach (var (id, run) in _tracked)
        {
            if (run.Stored.Key.Equals(ended.Trigger.Key) && !string.Equals(id, ended.Trigger.FireInstanceId, StringComparison.Ordinal)) run.HasOtherFiringEnded = true;
        }
    }

    /// <summary>Ends the tracking: the firing has ended, or it is in the store again.</summary>
    public void Forget(string fireInstanceId) => _tracked.TryRemove(fireInstanceId, out _);
}
