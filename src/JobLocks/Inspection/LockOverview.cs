namespace JobLocks;

/// <summary>What happens at the moment.</summary>
/// <param name="At">When it was read, by the clock of the server.</param>
/// <param name="Held">How many locks are held.</param>
/// <param name="Waiting">How many runs wait.</param>
/// <param name="Processes">Who takes locks: at most a hundred, those with the most locks first.</param>
/// <param name="Pressed">The names with the longest lines: at most ten.</param>
/// <param name="HasNames">
/// Whether names, lines and runs can be read here: not where <see cref="JobLocksOptions.Schema"/> is null, or where this role may not read it.
/// </param>
public sealed record LockOverview(DateTimeOffset At, long Held, long Waiting, IReadOnlyList<LockProcess> Processes, IReadOnlyList<WaitingName> Pressed, bool HasNames)
{
    /// <summary>
    /// Programs that are not JobLocks and hold locks that JobLocks uses for its own work. One is listed when it was seen for four seconds; where this process takes no
    /// locks, when it was seen in two readings that are four seconds apart and no more than fifteen.
    /// </summary>
    public IReadOnlyList<InternalLockHolder> InternalLockHolders { get; init; } = [];
}
