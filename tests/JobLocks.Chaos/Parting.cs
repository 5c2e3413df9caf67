namespace JobLocks.Chaos;

/// <summary>What a run of Quartz does to its own trigger, through <c>context.Trigger.Key</c>.</summary>
internal enum Parting
{
    None,

    /// <summary>Unschedules it.</summary>
    Unschedules,

    /// <summary>Throws with <c>UnscheduleFiringTrigger</c>.</summary>
    Throws,

    /// <summary>Reschedules it: from then on, it fires the run that this one makes.</summary>
    Moves,
}
