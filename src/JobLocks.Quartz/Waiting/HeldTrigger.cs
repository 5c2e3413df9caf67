using System.Globalization;
using Quartz;
using Quartz.Extensibility;
using Quartz.Impl.Triggers;

namespace JobLocks.Quartz.Waiting;

/// <summary>
/// A trigger whose firing waits: it stays in the job store under its own key, with a later time. The mark is an attempt number that no retry policy
/// reaches. For the store it is a retry of the same occurrence: it is not counted again, no child of it is settled, and pauses and deletions hold.
/// </summary>
internal static class HeldTrigger
{
    private const int Mark = 1_000_000;
    private const int Woken = 2 * Mark;
    private const int PutOff = 3 * Mark;

    /// <summary>Whether the trigger is held, or was held until it fired just now.</summary>
    public static bool Is(ITrigger trigger) => trigger.RetryAttempt >= Mark;

    /// <summary>Whether it has been woken. Written down, since the clocks of two nodes may be hours apart.</summary>
    public static bool IsWoken(ITrigger trigger) => trigger.RetryAttempt is >= Woken and < PutOff;

    /// <summary>Whether its firing is still to come: it was not woken since it was held.</summary>
    public static bool IsPutOff(ITrigger trigger) => Is(trigger) && !IsWoken(trigger);

    /// <summary>
    /// Whether a trigger without a mark has the time of a held one: none of its own schedule. The end of an earlier run may have wiped the mark. A trigger
    /// that counts its interval from the end of a run has no schedule to compare with.
    /// </summary>
    public static bool HasLostMark(ITrigger trigger, DateTimeOffset now) =>
        trigger is { RetryAttempt: 0, NextFireTimeUtc: { } next, PreviousFireTimeUtc: not null } && next > now && !HasFixedDelay(trigger) && LastBefore(trigger, next.AddTicks(1)) != next;

    /// <summary>Whether it waits for its lock: it was not woken, and does not come again by itself soon.</summary>
    public static bool Waits(int retryAttempt) => retryAttempt is >= Mark and < Woken;

    /// <summary>The attempt that a retry policy counts.</summary>
    public static int AttemptOf(ITrigger trigger) => trigger.RetryAttempt % Mark;

    /// <summary>
    /// Whether the trigger itself can wait. A trigger that goes on firing beside its own runs cannot: a stand-in waits for its firing. Only Quartz's own
    /// kinds of trigger know retries.
    /// </summary>
    public static bool CanWait(ITrigger trigger, IJobDetail job) =>
        trigger is TriggerBase
        && (trigger.NextFireTimeUtc is null || job.ConcurrentExecutionDisallowed || HasFixedDelay(trigger) || trigger.OverlapPolicy is not (OverlapPolicy.Default or OverlapPolicy.AllowAll));

    /// <summary>Whether the store computes the next time when a run ends.</summary>
    public static bool HasFixedDelay(ITrigger trigger) => trigger is ISimpleTrigger { MeasureIntervalFromCompletion: true };

    /// <summary>Marks a trigger that has just fired: its firing is to happen at <paramref name="at"/> instead, or when it is woken.</summary>
    public static void Hold(IMutableTrigger trigger, int attempt, DateTimeOffset at, bool waits)
    {
        trigger.NextFireTimeUtc = at;
        trigger.RetryAttempt = (waits ? Mark : PutOff) + attempt;
    }

    /// <summary>Marks a held trigger: its firing is to happen now.</summary>
    public static void Wake(IMutableTrigger trigger, DateTimeOffset at)
    {
        trigger.NextFireTimeUtc = at;
        trigger.RetryAttempt = Woken + AttemptOf(trigger);
    }

    /// <summary>
    /// Makes the store forget the mark in the same transaction in which it writes the end of the firing: it clears an attempt number of which the
    /// trigger says that it has been used up.
    /// </summary>
    public static void ForgetAtEnd(IOperableTrigger trigger)
    {
        trigger.RetryAttempt = Mark;
        // Without an exception, the trigger asks nothing of the context.
        trigger.ExecutionComplete(context: null!, result: null);
    }

    /// <summary>A copy that says nothing of used up attempts: the store leaves the attempt number alone that it has.</summary>
    public static IOperableTrigger WithoutEnd(IOperableTrigger ended)
    {
        var copy = (IOperableTrigger)ended.GetTriggerBuilder().Build();
        copy.NextFireTimeUtc = ended.NextFireTimeUtc;
        copy.PreviousFireTimeUtc = ended.PreviousFireTimeUtc;
        copy.FireInstanceId = ended.FireInstanceId;
        return copy;
    }

    /// <summary>Shows a stored trigger as it would be without us: due, and not begun. Without a next time, it has begun.</summary>
    public static T Shown<T>(T trigger)
        where T : class, IOperableTrigger
    {
        if (!Is(trigger)) return trigger;

        var due = trigger.PreviousFireTimeUtc;
        trigger.RetryAttempt = AttemptOf(trigger);
        if (due is null || trigger.NextFireTimeUtc is null) return trigger;

        trigger.NextFireTimeUtc = due;
        trigger.PreviousFireTimeUtc = LastBefore(trigger, due.Value);
        return trigger;
    }

    /// <summary>The name of the trigger's waiting firing in the wait queue: a trigger that can wait has one at a time.</summary>
    public static string NameOf(TriggerKey key) => $"{Uri.EscapeDataString(key.Group)}/{Uri.EscapeDataString(key.Name)}";

    /// <summary>The trigger of a name from <see cref="NameOf"/>; null for a stand-in's.</summary>
    public static TriggerKey? KeyIn(string name) => name.Split('/') is [var group, var key] ? new(Uri.UnescapeDataString(key), Uri.UnescapeDataString(group)) : null;

    /// <summary>The last occurrence before <paramref name="time"/>, from the schedule alone; null where there is none.</summary>
    public static DateTimeOffset? LastBefore(ITrigger trigger, DateTimeOffset time)
    {
        // A trigger that has used up its repeats says nothing of them any more.
        if (trigger is ISimpleTrigger simple) return LastBefore(simple, time);

        // Wider windows until one holds an occurrence, so that few of them are ever counted.
        for (var window = TimeSpan.FromSeconds(1); time > trigger.StartTimeUtc; window *= 2)
        {
            var isWhole = time - trigger.StartTimeUtc <= window;
            var from = (isWhole ? trigger.StartTimeUtc : time - window) - TimeSpan.FromMilliseconds(1);
            if (LastIn(trigger, from, time) is { } last) return last;
            if (isWhole) return null;
        }

        return null;
    }

    /// <summary>A time as an entry of a data map: a store may keep nothing but texts.</summary>
    public static string Text(DateTimeOffset time) => time.ToString("O", CultureInfo.InvariantCulture);

    /// <summary>The time in an entry of <see cref="Text"/>; null where there is none.</summary>
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
