namespace JobLocks.WaitQueue;

/// <summary>Identifies a waiting run.</summary>
/// <param name="Store">The id of the job store. It is the same in all processes that use that store, and no other store has it.</param>
/// <param name="Run">The name of the run in that store.</param>
/// <param name="Queue">The queue of the scheduler into which the store puts the woken run; empty where the scheduler has no queues.</param>
internal sealed record RunAddress(string Store, string Run, string Queue)
{
    /// <summary>The job of the run, by which it is shown and found: in Hangfire its id, in Quartz its key. Null where it is not known.</summary>
    public string? Job { get; init; }

    /// <summary>Whether the run is new to the store. A parked entry of the same name is then a leftover of an earlier run.</summary>
    public bool IsNewRun { get; init; }
}
