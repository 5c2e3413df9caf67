namespace JobLocks;

/// <summary>The runs of one lock name in the last minutes. A gap is a time in which no run holds the lock although a run waits for it.</summary>
/// <remarks>
/// A run is on the timeline when its process has recorded its release, or while it holds the lock or waits. Not recorded are: a run whose process ended before
/// the release, a run that left the queue without the lock, a lock that was acquired by its key or in a transaction, and a former holder that does not use
/// JobLocks.
/// </remarks>
/// <param name="From">When the timeline begins: when the first run on it began, but at most six minutes before <paramref name="To"/>.</param>
/// <param name="To">When the data was read, by the clock of the server.</param>
/// <param name="CompleteUntil">
/// Until when the timeline is complete. Later releases may be missing: a process records them every two seconds.
/// </param>
/// <param name="Runs">At most 50 runs. First those that have released the lock, then the holders, then the waiting runs, each in the order of time.</param>
/// <param name="LeftOut">How many further runs have released the lock in the last five to six minutes, hold it or wait for it.</param>
public sealed record LockTimeline(DateTimeOffset From, DateTimeOffset To, DateTimeOffset CompleteUntil, IReadOnlyList<TimelineRun> Runs, long LeftOut)
{
    /// <summary>
    /// Whether no release between <see cref="From"/> and <see cref="CompleteUntil"/> is known to be missing. False where fewer runs were recorded than have
    /// released the lock, for example because a process has released locks more than 1,000 times within two seconds (at most 50 runs of a name are kept). A time
    /// without a bar may then be a run that was not recorded.
    /// </summary>
    public bool IsComplete { get; init; }
}
