namespace JobLocks.Chaos;

/// <summary>What operators do to stores and applications while others go on.</summary>
internal enum Upheaval
{
    /// <summary>An application with stores of its own is stopped for good, in good order, while its runs wait.</summary>
    Retire,

    /// <summary>A store is emptied: Quartz by its scheduler, Hangfire by the truncation of its tables.</summary>
    Clear,

    /// <summary>The servers are stopped, the tables of a scheduler become what they were some time ago, and servers are started.</summary>
    Restore,

    /// <summary>A node of Quartz goes into standby, and comes back.</summary>
    Standby,

    /// <summary>A run is deleted and at once scheduled anew with the same keys.</summary>
    Again,
}
