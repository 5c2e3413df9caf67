namespace JobLocks.WaitQueue;

/// <summary>What a store says of a run that stands in the line.</summary>
internal enum RunFate
{
    /// <summary>It is parked there.</summary>
    Waits,

    /// <summary>It is parked there, and comes again by itself soon: its lock could not be asked for, or it has no place.</summary>
    IsPutOff,

    /// <summary>It is on its way to a worker: woken, or put into its queue by hand.</summary>
    Comes,

    /// <summary>It is on its way to a worker, which may be one of another process: the schedulers of the others are to look into the store.</summary>
    ComesElsewhere,

    /// <summary>It is parked there, and does not begin though it was woken: a person holds it back. It is looked at again by the sweeps.</summary>
    IsHeldBack,

    /// <summary>It will not come as the run that was parked: it was deleted, edited, or has ended otherwise.</summary>
    IsGone,
}
