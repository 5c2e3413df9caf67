namespace JobLocks.Quartz.Waiting;

/// <summary>What has become of a trigger since it was read.</summary>
internal enum TriggerChange
{
    /// <summary>It is as it was read, and may be written.</summary>
    None,

    /// <summary>It is as it was read, but paused by hand.</summary>
    Paused,

    /// <summary>It is as it was read, but in the state of an error, until a person resets it.</summary>
    Failed,

    /// <summary>It is as it was read, but another run of its job holds it back.</summary>
    Blocked,

    /// <summary>It has another time, is another trigger under the same key, or is gone. What was decided for it does not apply any more.</summary>
    Other,
}
