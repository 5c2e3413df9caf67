namespace JobLocks.WaitQueue;

/// <summary>A signal to a run that waits in its worker. Of several signals, the last one in this order counts.</summary>
internal enum WakeSignal
{
    /// <summary>No signal.</summary>
    None,

    /// <summary>The run must read its entry: it may have been woken.</summary>
    ReadAgain,

    /// <summary>The lock is free. The run was not woken, so it bypasses no run that precedes it.</summary>
    Free,

    /// <summary>The run was woken.</summary>
    Woken,
}
