using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Waiting;

/// <summary>
/// The second look at a trigger, just before it is written. A job store has no conditional write of a trigger: what an operator does between this look
/// and the write is still undone.
/// </summary>
internal static class TriggerChanges
{
    /// <summary>Compares a trigger with what the store has of it now.</summary>
    public static async ValueTask<TriggerChange> SinceReadAsync(this IStoredTriggers triggers, IOperableTrigger read, CancellationToken stop)
    {
        // Two questions on their way at once: the time until the write is the time in which an operator is overruled.
        var (asked, found) = (triggers.StateOfAsync(read.Key, stop).AsTask(), triggers.FindAsync(read.Key, stop).AsTask());
        await Task.WhenAll(asked, found).ConfigureAwait(false);
        return await found.ConfigureAwait(false) is { } now && IsAsRead(read, now) ? Of(await asked.ConfigureAwait(false)) : TriggerChange.Other;
    }

    /// <summary>Whether a trigger that has fired was replaced meanwhile: a new one has no past, or begins at another time.</summary>
    public static bool IsReplaced(IOperableTrigger fired, IOperableTrigger now) => now.PreviousFireTimeUtc is null || now.StartTimeUtc != fired.StartTimeUtc;

    /// <summary>A write that would undo a pause: the trigger is paused again, with the same details.</summary>
    public static async ValueTask KeepPausedAsync(this IJobStore store, TriggerKey key, Func<ValueTask> write, CancellationToken stop)
    {
        var pause = await store.GetTriggerPause(key, stop).ConfigureAwait(false);
        await write().ConfigureAwait(false);
        await store.PauseAgainAsync(key, pause, stop).ConfigureAwait(false);
    }

    /// <summary>After a write of a trigger that was paused. Where its whole group is, the write has kept that, and this does nothing.</summary>
    public static async ValueTask PauseAgainAsync(this IJobStore store, TriggerKey key, PauseInfo? pause, CancellationToken stop) =>
        await store.PauseTriggerWith(key, pause is null ? null : new() { Reason = pause.Reason, RequestedBy = pause.RequestedBy }, stop).ConfigureAwait(false);

    /// <summary>
    /// After a write of a trigger that was not paused: where its group is, but the trigger was resumed by itself, the store has paused it again.
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

    private static bool IsAsRead(IOperableTrigger read, IOperableTrigger now) =>
        now.NextFireTimeUtc == read.NextFireTimeUtc && now.PreviousFireTimeUtc == read.PreviousFireTimeUtc && now.StartTimeUtc == read.StartTimeUtc;
}
