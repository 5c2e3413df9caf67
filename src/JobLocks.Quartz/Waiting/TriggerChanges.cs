using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Waiting;

/// <summary>
/// Compares a trigger again, just before it is written. A job store has no conditional write of a trigger: what an operator changes between this comparison
/// and the write is still lost.
/// </summary>
internal static class TriggerChanges
{
    /// <summary>Compares a trigger with its current state in the store.</summary>
    public static async ValueTask<TriggerChange> CompareWithStoredAsync(this IStoredTriggers triggers, IOperableTrigger read, CancellationToken stop)
    {
        // Both queries run at the same time: the shorter the time until the write, the less likely it overwrites the change of an operator.
        var (stateQuery, triggerQuery) = (triggers.StateOfAsync(read.Key, stop).AsTask(), triggers.FindAsync(read.Key, stop).AsTask());
        await Task.WhenAll(stateQuery, triggerQuery).ConfigureAwait(false);
        return await triggerQuery.ConfigureAwait(false) is { } current && IsAsRead(read, current) ? Of(await stateQuery.ConfigureAwait(false)) : TriggerChange.Other;
    }

    /// <summary>Whether a fired trigger was replaced meanwhile: the new trigger has not fired yet, or has another start time.</summary>
    public static bool IsReplaced(IOperableTrigger fired, IOperableTrigger current) => current.PreviousFireTimeUtc is null || current.StartTimeUtc != fired.StartTimeUtc;

    /// <summary>Performs a write that would undo a pause, and pauses the trigger again with the same details.</summary>
    public static async ValueTask KeepPausedAsync(this IJobStore store, TriggerKey key, Func<ValueTask> write, CancellationToken stop)
    {
        var pause = await store.GetTriggerPause(key, stop).ConfigureAwait(false);
        await write().ConfigureAwait(false);
        await store.PauseAgainAsync(key, pause, stop).ConfigureAwait(false);
    }

    /// <summary>Pauses a trigger again after a write. If its whole group is paused, the write has kept the pause, and this does nothing.</summary>
    public static async ValueTask PauseAgainAsync(this IJobStore store, TriggerKey key, PauseInfo? pause, CancellationToken stop) =>
        await store.PauseTriggerWith(key, pause is null ? null : new() { Reason = pause.Reason, RequestedBy = pause.RequestedBy }, stop).ConfigureAwait(false);

    /// <summary>
    /// Resumes a trigger that was not paused before a write. If its group is paused, but the trigger had been resumed alone, the write has paused it again.
    /// </summary>
    public static async ValueTask ResumeAloneAsync(this IJobStore store, TriggerKey key, CancellationToken stop)
    {
        if (await store.GetTriggerState(key, stop).ConfigureAwait(false) == TriggerState.Paused) await store.ResumeTrigger(key, stop).ConfigureAwait(false);
    }

    private static TriggerChange Of(TriggerState state) => state switch
    {
        TriggerState.Paused => TriggerChange.Paused,
        TriggerState.Error => TriggerChange.Failed,
        TriggerState.Blocked => TriggerChange.Blocked,
        _ => TriggerChange.None,
    };

    private static bool IsAsRead(IOperableTrigger read, IOperableTrigger current) =>
        current.NextFireTimeUtc == read.NextFireTimeUtc && current.PreviousFireTimeUtc == read.PreviousFireTimeUtc && current.StartTimeUtc == read.StartTimeUtc;
}
