namespace ClientSync;

/// <summary>What a sync does when another one of the same client is under way.</summary>
internal enum Choice
{
    Wait,
    Reschedule,
    Skip,
    Fail,

    /// <summary>It runs all the same: no lock at all.</summary>
    WithoutLocks,
}
