namespace JobLocks;

/// <summary>The current state of all locks, in numbers.</summary>
/// <param name="At">When the data was read, by the clock of the server.</param>
/// <param name="Held">How many locks are held.</param>
/// <param name="Waiting">How many runs wait.</param>
/// <param name="Processes">The sessions of JobLocks, and other programs that hold advisory locks: at most 100, those with the most locks first.</param>
/// <param name="LongestQueues">The names with the longest wait queues: at most ten.</param>
/// <param name="HasNames">
/// Whether names, waiting runs and holding runs can be read. False where <see cref="JobLocksOptions.Schema"/> is null, or where this role may not read it.
/// </param>
public sealed record LockOverview(DateTimeOffset At, long Held, long Waiting, IReadOnlyList<LockProcess> Processes, IReadOnlyList<WaitingName> LongestQueues, bool HasNames)
{
    /// <summary>
    /// Other programs that hold locks which JobLocks uses for its own work. A program is listed after four seconds. A process that acquires no locks learns
    /// of programs only when the overview is read, so it needs two reads that are 4 to 15 seconds apart.
    /// </summary>
    public IReadOnlyList<InternalLockHolder> InternalLockHolders { get; init; } = [];

    /// <summary>
    /// Samples of the last hour, one every ten seconds, the oldest first. A process takes them while a scheduler or Hangfire server runs in it: without any such
    /// process, samples are missing. Empty where they cannot be read.
    /// </summary>
    public IReadOnlyList<LockSample> Samples { get; init; } = [];
}
