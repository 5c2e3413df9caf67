namespace JobLocks.Diagnostics;

/// <summary>The statistics of one lock name that are not yet written to the database. Not thread-safe: <see cref="StatisticsCounter"/> guards it.</summary>
internal sealed class NameStatistics(LockKey key, string name)
{
    public LockKey Key => key;

    public string Name => name;

    /// <summary>The newest runs that have released the lock.</summary>
    public NewestRuns Newest { get; } = new();

    /// <summary>How many runs have released the lock before those of <see cref="Newest"/>.</summary>
    public long OlderRuns => Runs - Newest.Count;

    /// <summary>How often the lock was released.</summary>
    public long Runs { get; set; }

    /// <summary>For how long the lock was held in total.</summary>
    public TimeSpan Held { get; set; }

    /// <summary>For how long the lock was free while a run waited for it: from the wake of the run until it held the lock.</summary>
    public TimeSpan FreeWhileWaiting { get; set; }

    /// <summary>How many runs were refused and did not enter the queue.</summary>
    public long Refused { get; set; }

    /// <summary>How many runs entered the queue.</summary>
    public long Waited { get; set; }
}
