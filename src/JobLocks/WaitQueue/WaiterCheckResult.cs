namespace JobLocks.WaitQueue;

/// <summary>What the job stores answered about the runs that wait for a key.</summary>
internal enum WaiterCheckResult
{
    /// <summary>Each store has all of its runs.</summary>
    AllExist,

    /// <summary>Some of the runs do not exist any more. Their queue entries are removed.</summary>
    SomeRemoved,

    /// <summary>Not all of the runs could be confirmed. They count as waiting, but no run may be skipped or failed because of them.</summary>
    Unconfirmed,
}
