
using JobLocks.WaitQueue;

namespace JobLocks.Quartz.Waiting;

/// <summary>
/// The unique id of a job store, which is the same for all nodes that work on the store. The ids here have no prefix of the scheduler. Thread-safe.
/// </summary>
internal interface IStoreId
{
    /// <summary>Other and earlier ids of the store, as of the last read of the id.</summary>
    OtherStoreIds OtherIds { get; }

    /// <summary>Reads the id.</summary>
    /// <param name="known">The id that was read before; null at the first time.</param>
    /// <param name="stop">Cancels the read.</param>
    /// <exception cref="Exception">The store cannot be asked.</exception>
    ValueTask<string> ReadAsync(string? known, CancellationToken stop);
}
