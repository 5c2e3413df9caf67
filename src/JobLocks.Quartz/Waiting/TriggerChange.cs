namespace JobLocks.Quartz.Waiting;

/// <summary>How a trigger has changed since it was read.</summary>
internal enum TriggerChange
{
    /// <summary>The trigger is unchanged, and may be written.</summary>
    None,

    /// <summary>The trigger is unchanged, but an operator has paused it.</summary>
    Paused,

    /// <summary>The trigger is unchanged, but in the state Error until an operator resets it.</summary>
    Failed,

    /// <summary>The trigger is unchanged, but another run of its job blocks it.</summary>
    Blocked,

    /// <summary>The trigger has another time, was replaced under the same key, or was deleted. A decision about it does not apply any more.</summary>
    Other,
}
