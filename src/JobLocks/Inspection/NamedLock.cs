namespace JobLocks;

/// <summary>All data about one lock name.</summary>
/// <param name="Key">The key of the name.</param>
/// <param name="Name">The name; null where it is unknown.</param>
/// <param name="Held">The held lock, or its held slots where it has a limit, with their holders: at most 100.</param>
/// <param name="Waiting">The requested page of the waiting runs, in the order of the queue, and their total.</param>
/// <param name="Runs">How often the lock was released since the name was first recorded.</param>
/// <param name="UsualHold">How long a run holds the lock on average; null where no run has ended yet.</param>
/// <param name="Refused">How many runs were refused and did not enter the queue.</param>
/// <param name="Waited">How many runs entered the queue.</param>
/// <param name="LastHour">The statistics of the last hour, by minute, the oldest first. Minutes without events are left out.</param>
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
    /// <summary>
    /// Why the requested run does not start, as returned by <see cref="IJobLockInspector.ExplainAsync"/>; null if no run was requested, or the run neither waits
    /// nor is known to hold a lock.
    /// </summary>
    public string? Explanation { get; init; }

    /// <summary>The runs of the last minutes; null where they cannot be read.</summary>
    public LockTimeline? Timeline { get; init; }

    /// <summary>
    /// Whether a key belongs to this name: it is the key of the name, or the key of one of its held slots. False on the page of a slot, which is no
    /// lock name: rights to act are granted by name.
    /// </summary>
    internal bool Includes(LockKey slot) => slot == Key ? !Held.Any(held => held.NameKey != Key) : Held.Any(held => held.Key == slot && held.NameKey == Key);
}
