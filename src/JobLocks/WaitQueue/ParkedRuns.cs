namespace JobLocks.WaitQueue;

/// <summary>Some of the runs that a store has parked.</summary>
/// <param name="Runs">Where each is, and for how long it has waited by the store's own times.</param>
/// <param name="Next">From where in the store to go on; null at its end.</param>
internal sealed record ParkedRuns(IReadOnlyList<(RunAddress Address, TimeSpan Waited)> Runs, string? Next)
{
    /// <summary>None.</summary>
    public static readonly ParkedRuns None = new([], null);
}
