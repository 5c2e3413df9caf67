using JobLocks.Diagnostics;
using JobLocks.Inspection;
using JobLocks.Locks;
using JobLocks.WaitQueue;

namespace JobLocks.Gate;

/// <summary>
/// What the gate needs of whoever keeps the locks. A caller without an asynchronous way says that it blocks: then nothing is awaited, and the
/// task has ended when it is returned.
/// </summary>
internal interface ILockKeeper
{
    /// <summary>Put before every lock name; null for none.</summary>
    string? Scope { get; }

    /// <summary>Whether it was disposed; false where that is not known.</summary>
    bool IsClosed => false;

    /// <summary>What a person is told of an error: by default its message.</summary>
    string CauseOf(Exception error) => error.Message;

    /// <summary>Where runs wait.</summary>
    IWaitQueue WaitQueue { get; }

    /// <summary>Looks at locks, of whatever process.</summary>
    IPageInspector Inspection { get; }

    /// <summary>What is measured.</summary>
    LockMeter Meter { get; }

    /// <summary>What traces show.</summary>
    LockTraces Traces { get; }

    /// <summary>Counts what happens under each name.</summary>
    StatisticsCounter Ledger { get; }

    /// <summary>Takes all of some locks, each key once, or none of them.</summary>
    /// <param name="requests">What is wanted, in any order.</param>
    /// <param name="run">Whom to name as the holder.</param>
    /// <param name="place">The place of the run in the line; null for a newcomer, who goes behind all that stand there.</param>
    /// <param name="blocks">Whether the caller has no asynchronous way.</param>
    /// <param name="stop">Gives up; what is granted all the same is given back.</param>
    /// <exception cref="JobLocksUnavailableException">The locks cannot be asked. Nothing was taken.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled. Nothing is held.</exception>
    ValueTask<AcquireResult> TryTakeAllAsync(IReadOnlyList<LockRequest> requests, Holder run, QueueEntry? place, bool blocks, CancellationToken stop);

    /// <summary>Who has a lock right now, or one of its slots; null when nobody does any more.</summary>
    /// <exception cref="JobLocksUnavailableException">The locks cannot be asked.</exception>
    ValueTask<Holder?> FindHolderAsync(LockRequest request, bool blocks, CancellationToken stop);
}
