namespace JobLocks.Chaos;

/// <summary>What the history knows.</summary>
internal enum Act
{
    Enter,
    Leave,

    /// <summary>The run was told that its lock is lost or that it is cancelled, or its scheduler was shut down under it, and it left.</summary>
    Lost,

    /// <summary>The process is about to be killed.</summary>
    Kill,

    /// <summary>The lock session of the process is about to be ended.</summary>
    Terminate,

    /// <summary>Either of them is done.</summary>
    Struck,

    /// <summary>The run was deleted by hand while it waited.</summary>
    Delete,

    /// <summary>Quartz fired the run again, since its node was killed.</summary>
    Recover,

    /// <summary>The run came to its end and fails, as it is meant to.</summary>
    Fail,

    /// <summary>The run is about to be made by another one.</summary>
    Make,

    /// <summary>The run has ended its own schedule: no further occurrence may come.</summary>
    Unschedule,

    /// <summary>The run is about to be given to its scheduler.</summary>
    Offer,

    /// <summary>All that a scheduler's store holds is about to be deleted. The process is the scheduler.</summary>
    Clear,

    /// <summary>The tables of a scheduler are about to be copied. The process is the scheduler.</summary>
    Dump,

    /// <summary>The tables of a scheduler are about to become what they were at the last dump. The process is the scheduler.</summary>
    Restore,

    /// <summary>The one or the other is done.</summary>
    Stored,

    /// <summary>The run is about to be deleted and scheduled anew with the same keys.</summary>
    Again,
}
