namespace JobLocks;

/// <summary>A run that waits for a lock.</summary>
/// <param name="Key">The key of the name that it waits for.</param>
/// <param name="Name">The name.</param>
/// <param name="Place">Its place in the line: 1 for the first. Runs of unserved stores are not counted. For such a run, the place that it would have if its store were served.</param>
/// <param name="Mode">Whom it would keep out.</param>
/// <param name="Scheduler">Whose run it is: <c>Hangfire</c> or <c>Quartz</c>.</param>
/// <param name="Store">Which store of that scheduler keeps it.</param>
/// <param name="Run">Its name there: in Hangfire the id of the job and the time of its creation, as <c>17@2026-11-28T12:00:00.123Z</c>; in Quartz the name of a trigger in the group <c>joblocks</c>.</param>
/// <param name="Queue">Where it goes when its turn comes; empty for Quartz.</param>
/// <param name="Since">Since when it waits.</param>
/// <param name="TurnCame">When its turn came; null while it has not. Null too for a run that a person holds back. A run that does not come within half a minute lets others past.</param>
public sealed record QueuedRun(
    LockKey Key, string Name, long Place, LockMode Mode, string Scheduler, string Store, string Run, string Queue, DateTimeOffset Since, DateTimeOffset? TurnCame)
{
    /// <summary>The job as a person knows it, where its name in the store says nothing: in Quartz its key.</summary>
    public string? Job { get; init; }

    /// <summary>
    /// Whether a running process serves its store. False: its application has stopped. The run lets all others past, and starts when the application does.
    /// </summary>
    public bool IsServed { get; init; } = true;
}
