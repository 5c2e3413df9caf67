namespace JobLocks.Chaos;

/// <summary>What the history knows.</summary>
internal enum Act
{
    Enter,
    Leave,

    /// <summary>The run was told that its lock is lost, and left.</summary>
    Lost,

    /// <summary>The process is about to be killed, or its sessions to be ended.</summary>
    Strike,

    /// <summary>It is done.</summary>
    Struck,

    /// <summary>The run was deleted by hand while it waited.</summary>
    Delete,
}
