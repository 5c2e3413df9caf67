namespace JobLocks;

/// <summary>Everything about one name.</summary>
/// <param name="Key">Its key.</param>
/// <param name="Name">The name; null where it is not known.</param>
/// <param name="Held">Who has it, and its slots where it has a limit: at most a hundred.</param>
/// <param name="Waiting">Who waits, in order: the part that was asked for, and how many in all.</param>
/// <param name="Runs">How often it was held and let go since it was first seen.</param>
/// <param name="UsualHold">How long a run holds it on average; null where none has ended yet.</param>
/// <param name="Refused">How many runs were refused and did not wait.</param>
/// <param name="Waited">How many came to stand in the line.</param>
/// <param name="LastHour">The minutes of the last hour in which something happened, the oldest first.</param>
public sealed record NamedLock(
    LockKey Key,
    string? Name,
    IReadOnlyList<HeldLock> Held,
    LockPage<QueuedRun> Waiting,
    long Runs,
    TimeSpan? UsualHold,
    long Refused,
    long Waited,
    IReadOnlyList<LockMinute> LastHour)
{
    /// <summary>Why the run that was asked for does not start, as <see cref="IJobLockInspector.ExplainAsync"/> says it; null where there is nothing to say.</summary>
    public string? Explanation { get; init; }

    /// <summary>Whether a key is this name's own, or one of its slots. Of a slot's own page, this is false: the name decides who may act.</summary>
    internal bool MayHave(LockKey slot) => slot == Key ? !Held.Any(one => one.Line != Key) : Held.Any(one => one.Key == slot && one.Line == Key);
}
