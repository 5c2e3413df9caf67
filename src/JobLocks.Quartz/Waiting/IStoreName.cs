
using JobLocks.WaitQueue;

namespace JobLocks.Quartz.Waiting;

/// <summary>The unique name of a job store, which is the same for all nodes that work on the store. Thread-safe.</summary>
internal interface IStoreName
{
    /// <summary>Other and earlier names of the store, as of the last read of the name.</summary>
    OtherStoreIds Earlier { get; }

    /// <summary>Reads the name.</summary>
    /// <param name="known">The name that was read before; null at the first time.</param>
    /// <param name="stop">Cancels the read.</param>
    /// <exception cref="Exception">The store cannot be asked.</exception>
    ValueTask<string> ReadAsync(string? known, CancellationToken stop);
}
