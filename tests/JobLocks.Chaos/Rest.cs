namespace JobLocks.Chaos;

/// <summary>What a scheduler's store still held at the end.</summary>
/// <param name="Run">The run; 0 where it is not known.</param>
/// <param name="State">The scheduler's word for its state.</param>
internal sealed record Rest(int Run, string State)
{
    /// <summary>Hangfire: why the job is in this state; empty where it does not say.</summary>
    public string Reason { get; init; } = "";

    /// <summary>Quartz: the trigger fires no more.</summary>
    public const string Complete = "COMPLETE";

    /// <summary>Quartz: the trigger needs an operator.</summary>
    public const string Error = "ERROR";

    /// <summary>Both: a continuation whose parent has not ended. Compared without case.</summary>
    public const string Awaiting = "AWAITING";
}
