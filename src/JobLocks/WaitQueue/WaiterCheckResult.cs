namespace JobLocks.WaitQueue;

/// <summary>What the stores said of the runs that stand under a key.</summary>
internal enum WaiterCheckResult
{
    /// <summary>Each store has its runs.</summary>
    AllAreThere,

    /// <summary>Some of them will never come. Their places are removed.</summary>
    SomeWereGone,

    /// <summary>Some store cannot be asked from this process. Its runs count as alive, but nothing may be dropped on their account.</summary>
    NoAnswer,
}
