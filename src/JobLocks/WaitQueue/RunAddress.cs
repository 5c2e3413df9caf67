namespace JobLocks.WaitQueue;

/// <summary>How a run that waits is found again.</summary>
/// <param name="Store">Which store of which scheduler keeps it: the same in every process that works on that store, and nowhere else.</param>
/// <param name="Run">Its name there.</param>
/// <param name="Queue">Where the store puts it when its turn comes; empty where the store needs no such thing.</param>
internal sealed record RunAddress(string Store, string Run, string Queue)
{
    /// <summary>The job as a person knows it, where the run's name in the store says nothing; null where it does.</summary>
    public string? Job { get; init; }

    /// <summary>Whether the store has no run of this name that waits: a parked entry of this name belongs to an earlier run.</summary>
    public bool IsNew { get; init; }
}
