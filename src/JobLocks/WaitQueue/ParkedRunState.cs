namespace JobLocks.WaitQueue;

/// <summary>The state of a waiting run in its job store.</summary>
internal enum ParkedRunState
{
    /// <summary>The run is parked.</summary>
    Parked,

    /// <summary>The run is parked, and the store starts it soon by itself: its lock could not be requested, or it has no queue entry.</summary>
    Rescheduled,

    /// <summary>The run is about to be started by a worker: it was woken, or put into its queue by hand.</summary>
    Starting,

    /// <summary>
    /// A worker performs the run, or the store has a newer run of the same name: the run is not parked any more. The gate removes the entry of a run that starts. An entry
    /// that stays is a leftover of a run that started while the entry could not be removed, or of a run that was replaced.
    /// </summary>
    Started,

    /// <summary>The run is about to be started by a worker, perhaps in another process. The schedulers of the other processes must query the store.</summary>
    StartingAnywhere,

    /// <summary>The run is parked and does not start although it was woken, because it was paused by hand. Sweeps check it again.</summary>
    Paused,

    /// <summary>The parked run does not exist any more: it was deleted, edited, or has ended in another way.</summary>
    Gone,
}
