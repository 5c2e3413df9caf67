namespace JobLocks;

/// <summary>What came of the request that a lock is let go.</summary>
public enum ReleaseAnswer
{
    /// <summary>None of those who had it when it was asked for has it any more.</summary>
    Released,

    /// <summary>Nobody had it.</summary>
    WasFree,

    /// <summary>Its holder was told, and has it still: a run ends when it looks at its token, or by itself.</summary>
    StillHeld,

    /// <summary>Its holder, or the one that is left of several, is none of ours, and cannot be asked.</summary>
    IsForeign,
}
