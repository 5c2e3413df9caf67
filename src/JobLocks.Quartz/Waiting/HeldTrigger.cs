using System.Globalization;
using Quartz;
using Quartz.Extensibility;
using Quartz.Impl.Triggers;

namespace JobLocks.Quartz.Waiting;

/// <summary>
/// A trigger whose firing waits. It stays in the job store under its own key, with a later time. Its mark is an attempt number that no retry policy reaches.
/// For the store it is a retry of the same occurrence: the occurrence is not counted again, no continuation is started or cancelled, and pauses and deletions
/// apply.
/// </summary>
internal static class HeldTrigger
{
    private const int Mark = 1_000_000;
    private const int Woken = 2 * Mark;
    private const int Rescheduled = 3 * Mark;

    /// <summary>Whether the trigger has the mark: it is held, or was held until it fired just now.</summary>
    public static bool HasMark(ITrigger trigger) => trigger.RetryAttempt >= Mark;

    /// <summary>Whether the firing was woken. The mark records this, because the clocks of two nodes may differ by hours.</summary>
    public static bool IsWoken(ITrigger trigger) => trigger.RetryAttempt is >= Woken and < Rescheduled;

    /// <summary>Whether the firing still waits or is rescheduled: it was not woken since it was held.</summary>
    public static bool IsNotWoken(ITrigger trigger) => HasMark(trigger) && !IsWoken(trigger);

    /// <summary>
    /// Whether a trigger without a mark has the time of a held one, which is not in its own schedule. The end of an earlier run may have cleared the mark. A
    /// trigger that measures its interval from the end of a run has no schedule to compare with.
    /// </summary>
    public static bool HasLostMark(ITrigger trigger, DateTimeOffset now) =>
        trigger is { RetryAttempt: 0, NextFireTimeUtc: { } next, PreviousFireTimeUtc: not null } && next > now && !HasFixedDelay(trigger) && LastBefore(trigger, next.AddTicks(1)) != next;

    /// <summary>Whether the firing waits for its lock: it was not woken, and is not merely rescheduled for a short time.</summary>
    public static bool Waits(int retryAttempt) => retryAttempt is >= Mark and < Woken;

    /// <summary>The attempt number without the mark, as a retry policy counts.</summary>
    public static int AttemptOf(ITrigger trigger) => trigger.RetryAttempt % Mark;

    /// <summary>
    /// Whether the trigger itself can be held. Not possible for a trigger that may fire again while its run executes: for such a firing a stand-in is added.
    /// Only Quartz's own trigger types support retries.
    /// </summary>
    public static bool CanBeHeld(ITrigger trigger, IJobDetail job) =>
        trigger is TriggerBase
        && (trigger.NextFireTimeUtc is null || job.ConcurrentExecutionDisallowed || HasFixedDelay(trigger) || trigger.OverlapPolicy is not (OverlapPolicy.Default or OverlapPolicy.AllowAll));

    /// <summary>Whether the store computes the next time at the end of a run.</summary>
    public static bool HasFixedDelay(ITrigger trigger) => trigger is ISimpleTrigger { MeasureIntervalFromCompletion: true };

    /// <summary>Marks a trigger that has just fired: its firing is rescheduled to <paramref name="dueAt"/>, or until it is woken.</summary>
    public static void Hold(IMutableTrigger trigger, int attempt, DateTimeOffset dueAt, bool waits)
    {
        trigger.NextFireTimeUtc = dueAt;
        trigger.RetryAttempt = (waits ? Mark : Rescheduled) + attempt;
    }

    /// <summary>Marks a held trigger as woken: its firing is due now.</summary>
    public static void Wake(IMutableTrigger trigger, DateTimeOffset dueAt)
    {
        trigger.NextFireTimeUtc = dueAt;
        trigger.RetryAttempt = Woken + AttemptOf(trigger);
    }

    /// <summary>
    /// Makes the store clear the mark in the transaction in which it writes the end of the firing. The store clears an attempt number if the trigger reports
    /// that its attempts are used up.
    /// </summary>
    public static void ClearMarkAtEnd(IOperableTrigger trigger)
    {
        trigger.RetryAttempt = Mark;
        // ExecutionComplete reads the context only if a result exception is given, so null is safe.
        trigger.ExecutionComplete(context: null!, result: null);
    }

    /// <summary>A copy that does not report used-up attempts, so that the store keeps the attempt number that it has.</summary>
    public static IOperableTrigger WithoutUsedUpAttempts(IOperableTrigger ended)
    {
        var copy = (IOperableTrigger)ended.GetTriggerBuilder().Build();
        copy.NextFireTimeUtc = ended.NextFireTimeUtc;
        copy.PreviousFireTimeUtc = ended.PreviousFireTimeUtc;
        copy.FireInstanceId = ended.FireInstanceId;
        return copy;
    }

    /// <summary>
    /// Shows the trigger as if JobLocks did not exist: with the due time of its waiting occurrence as the next time. If there is no next time, the last
    /// firing is executing, and only the mark is removed. Changes the trigger that it is given.
    /// </summary>
    public static T RemoveMarkFrom<T>(T trigger)
        where T : class, IOperableTrigger
    {
        if (!HasMark(trigger)) return trigger;

        var due = trigger.PreviousFireTimeUtc;
        trigger.RetryAttempt = AttemptOf(trigger);
        if (due is null || trigger.NextFireTimeUtc is null) return trigger;

        trigger.NextFireTimeUtc = due;
        trigger.PreviousFireTimeUtc = LastBefore(trigger, due.Value);
        return trigger;
    }

    /// <summary>The name of the trigger's waiting firing in the wait queue. A held trigger has only one such firing.</summary>
    public static string NameOf(TriggerKey key) => $"{Uri.EscapeDataString(key.Group)}/{Uri.EscapeDataString(key.Name)}";

    /// <summary>The key in a name from <see cref="NameOf"/>; null for the name of a stand-in.</summary>
    public static TriggerKey? KeyIn(string name) => name.Split('/') is [var group, var key] ? new(Uri.UnescapeDataString(key), Uri.UnescapeDataString(group)) : null;

    /// <summary>The last occurrence before <paramref name="time"/>, computed from the schedule alone; null if there is none.</summary>
    public static DateTimeOffset? LastBefore(ITrigger trigger, DateTimeOffset time)
    {
        // GetFireTimeAfter of a simple trigger returns nothing after its repeats are used up, so its occurrences are calculated.
        if (trigger is ISimpleTrigger simple) return LastBefore(simple, time);

        // The window doubles until it contains an occurrence, so that only a few occurrences are enumerated.
        for (var window = TimeSpan.FromSeconds(1); time > trigger.StartTimeUtc; window *= 2)
        {
            var isWhole = time - trigger.StartTimeUtc <= window;
            var from = (isWhole ? trigger.StartTimeUtc : time - window) - TimeSpan.FromMilliseconds(1);
            if (LastIn(trigger, from, time) is { } last) return last;
            if (isWhole) return null;
        }

        return null;
    }

    /// <summary>A time as text for a data map, because some stores keep only text.</summary>
    public static string Text(DateTimeOffset time) => time.ToString("O", CultureInfo.InvariantCulture);

    /// <summary>The time in an entry that <see cref="Text"/> wrote; null if there is none.</summary>
    public static DateTimeOffset? TimeIn(JobDataMap data, string key) =>
        DateTimeOffset.TryParse(data.GetValueOrDefault(key) as string, CultureInfo.InvariantCulture, out var time) ? time : null;

    private static DateTimeOffset? LastBefore(ISimpleTrigger trigger, DateTimeOffset time)
    {
        var since = time - trigger.StartTimeUtc;
        if (since <= TimeSpan.Zero) return null;
        if (trigger.RepeatInterval <= TimeSpan.Zero) return trigger.StartTimeUtc;

        var repeats = (since.Ticks - 1) / trigger.RepeatInterval.Ticks;
        return trigger.StartTimeUtc + ((trigger.RepeatCount >= 0 ? Math.Min(repeats, trigger.RepeatCount) : repeats) * trigger.RepeatInterval);
    }

    private static DateTimeOffset? LastIn(ITrigger trigger, DateTimeOffset from, DateTimeOffset until)
    {
        DateTimeOffset? last = null;
        for (var next = trigger.GetFireTimeAfter(from); next < until && next > (last ?? DateTimeOffset.MinValue); next = trigger.GetFireTimeAfter(next)) last = next;
        return last;
    }
}
