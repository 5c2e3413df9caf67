
using JobLocks.WaitQueue;

namespace JobLocks.Quartz.Waiting;

/// <summary>What tells a job store from all others, and is the same for all nodes that work on it. Thread-safe.</summary>
internal interface IStoreName
{
    /// <summary>What else the store is called or was, as of when the name was last read.</summary>
    EarlierNames Earlier { get; }

    /// <summary>Reads it.</summary>
    /// <param name="known">What it was before; null at the first time.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="Exception">The store cannot be asked.</exception>
    ValueTask<string> ReadAsync(string? known, CancellationToken stop);
}
