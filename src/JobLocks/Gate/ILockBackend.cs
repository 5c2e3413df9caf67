using JobLocks.Diagnostics;
using JobLocks.Inspection;
using JobLocks.Locks;
using JobLocks.WaitQueue;

namespace JobLocks.Gate;

/// <summary>
/// The lock backend as the gate uses it. A caller that cannot await passes <c>blocks: true</c>: then the method blocks the calling thread and
/// returns a completed task. Thread-safe.
/// </summary>
internal interface ILockBackend
{
    /// <summary>The prefix of every lock name; null for none.</summary>
    string? Scope { get; }

    /// <summary>Whether the backend was disposed; false where the implementation does not know.</summary>
    bool IsClosed => false;

    /// <summary>The text of an error in logs and records: by default its message.</summary>
    string DescribeError(Exception error) => error.Message;

    /// <summary>The queue in which runs wait.</summary>
    IWaitQueue WaitQueue { get; }

    /// <summary>Reads the state of locks, for all processes.</summary>
    IPageInspector Inspection { get; }

    /// <summary>The metrics.</summary>
    LockMeter Meter { get; }

    /// <summary>The traces.</summary>
    LockTraces Traces { get; }

    /// <summary>The statistics of each lock name.</summary>
    StatisticsCounter Statistics { get; }

    /// <summary>For how long locks are usually held.</summary>
    UsualHolds UsualHolds { get; }

    /// <summary>For how long a run may wait in its worker before it is parked; zero where no run may.</summary>
    TimeSpan LongestWaitInWorker { get; }

    /// <summary>The largest share of the workers of a scheduler in which runs may wait.</summary>
    double LargestWaitingShare { get; }

    /// <summary>Acquires all requested locks, each key once, or none of them.</summary>
    /// <param name="requests">The lock requests, in any order.</param>
    /// <param name="run">The run that is recorded as the holder.</param>
    /// <param name="entry">The queue entry of the run; null where it has none. A run without an entry may not bypass any waiting run.</param>
    /// <param name="blocks">Whether to block the calling thread instead of awaiting.</param>
    /// <param name="stop">Cancels the request. A lock that the server grants nevertheless is released.</param>
    /// <exception cref="JobLocksUnavailableException">The lock server cannot be asked. No lock is held.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled. No lock is held.</exception>
    ValueTask<AcquireResult> TryAcquireAllAsync(IReadOnlyList<LockRequest> requests, Holder run, QueueEntry? entry, bool blocks, CancellationToken stop);

    /// <summary>The current holder of a lock or of one of its slots; null when the lock is free by now.</summary>
    /// <exception cref="JobLocksUnavailableException">The lock server cannot be asked.</exception>
    ValueTask<Holder?> FindHolderAsync(LockRequest request, bool blocks, CancellationToken stop);
}
