namespace JobLocks.WaitQueue;

/// <summary>One page of the runs that a job store has parked.</summary>
/// <param name="Runs">The address of each run, and for how long it has waited, by the times in the store; zero where the store does not tell that.</param>
/// <param name="Next">Where the next page begins in the store; null on the last page.</param>
internal sealed record ParkedRuns(IReadOnlyList<(RunAddress Address, TimeSpan Waited)> Runs, string? Next)
{
    /// <summary>An empty last page.</summary>
    public static readonly ParkedRuns None = new([], null);
}
