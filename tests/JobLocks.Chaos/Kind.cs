namespace JobLocks.Chaos;

/// <summary>How a run locks its name.</summary>
internal enum Kind
{
    Alone,
    Shared,

    /// <summary>Two at once. Such names have no other runs.</summary>
    OfTwo,

    /// <summary>Under its name and under the next one.</summary>
    Both,

    /// <summary>Refused, the run is tried again a second later.</summary>
    Reschedules,

    /// <summary>Refused, the run is skipped.</summary>
    Skips,

    /// <summary>Refused, the run fails. Hangfire retries it, Quartz does not.</summary>
    Fails,
}
