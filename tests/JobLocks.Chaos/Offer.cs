namespace JobLocks.Chaos;

/// <summary>One run that is wanted.</summary>
/// <param name="Number">Which.</param>
/// <param name="Name">The lock.</param>
/// <param name="Second">Another lock; empty for none.</param>
/// <param name="Kind">How it locks.</param>
/// <param name="IsForHangfire">Or for Quartz.</param>
/// <param name="Milliseconds">How long it takes.</param>
internal sealed record Offer(int Number, string Name, string Second, Kind Kind, bool IsForHangfire, int Milliseconds)
{
    /// <summary>Whether an application of its own has the run, which is stopped for good: nobody serves its stores any more.</summary>
    public bool IsOfGuest { get; init; }

    /// <summary>Whether the job throws at its end.</summary>
    public bool IsMeantToFail { get; init; }

    /// <summary>Whether a filter of the job opens an ambient transaction around the run. Hangfire only.</summary>
    public bool IsInTransaction { get; init; }

    /// <summary>Whether the run counts in the persisted data of its job, whose name is the lock. Quartz only.</summary>
    public bool Counts { get; init; }

    /// <summary>The run that this one continues; 0 for none.</summary>
    public int Parent { get; init; }

    /// <summary>The ends of the parent that release this run.</summary>
    public End After { get; init; }

    /// <summary>The run that this one enqueues or schedules while it runs; null for none.</summary>
    public Offer? Makes { get; init; }

    /// <summary>The run that makes this one; 0 for none.</summary>
    public int Maker { get; init; }

    /// <summary>The occurrences of a repeating trigger; null for a run that is wanted once.</summary>
    public Series? Series { get; init; }

    /// <summary>What the run does to its own trigger. A run of a series does so from its second occurrence on.</summary>
    public Parting Parting { get; init; }

    /// <summary>Whether a failed run is tried again. Quartz retries whatever fails or nothing, so a run that is meant to fail has no retries there.</summary>
    public bool IsRetried => IsForHangfire || !(IsMeantToFail || Kind == Kind.Fails);
}
