namespace JobLocks.WaitQueue;

/// <summary>The state of a waiting run in its job store.</summary>
internal enum RunFate
{
    /// <summary>The run is parked.</summary>
    Waits,

    /// <summary>The run is parked, and the store starts it soon by itself: its lock could not be requested, or it has no queue entry.</summary>
    IsPutOff,

    /// <summary>The run is about to be started by a worker: it was woken, or put into its queue by hand.</summary>
    Comes,

    /// <summary>The run is about to be started by a worker, perhaps in another process. The schedulers of the other processes must query the store.</summary>
    ComesElsewhere,

    /// <summary>The run is parked and does not start although it was woken, because it was paused by hand. Sweeps check it again.</summary>
    IsHeldBack,

    /// <summary>The parked run does not exist any more: it was deleted, edited, or has ended in another way.</summary>
    IsGone,
}
