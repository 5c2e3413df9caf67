using JobLocks.Locks;
using JobLocks.Rules;

namespace JobLocks.WaitQueue;

/// <summary>
/// The runs that wait for a lock, in the order of their arrival, for all schedulers and processes together. A run always goes these steps: it enters the queue,
/// asks for its lock once more, and is parked in its job store. A released lock wakes the next run, which then asks for the lock itself. A caller without an
/// asynchronous way says that it blocks: then nothing is awaited, and the task has ended when it is returned. Thread-safe.
/// </summary>
internal interface IWaitQueue
{
    /// <summary>Whether runs can wait.</summary>
    /// <exception cref="JobLocksUnavailableException">The server cannot be asked.</exception>
    ValueTask<bool> IsUsableAsync(bool blocks, CancellationToken stop);

    /// <summary>Wakes runs of this job store from here, as long as this process lives.</summary>
    void Serve(IRunStore store);

    /// <summary>Leaves the runs of this job store to other processes.</summary>
    void Forget(IRunStore store);

    /// <summary>The entry of a run; null where it has none.</summary>
    ValueTask<QueueEntry?> FindAsync(RunAddress run, bool blocks, CancellationToken stop);

    /// <summary>Enters a run. One that has an entry keeps its position.</summary>
    /// <param name="run">The run.</param>
    /// <param name="request">The lock that it waits for.</param>
    /// <param name="rules">How many runs may wait, and for how long.</param>
    /// <param name="blocks">Whether the caller has no asynchronous way.</param>
    /// <param name="stop">Gives up.</param>
    ValueTask<EnqueueResult> EnqueueAsync(RunAddress run, LockRequest request, WaitRules rules, bool blocks, CancellationToken stop);

    /// <summary>The same where the queue is full: the oldest run that waits is dropped for it.</summary>
    ValueTask<EnqueueResult> ReplaceOldestAsync(RunAddress run, LockRequest request, WaitRules rules, bool blocks, CancellationToken stop);

    /// <summary>Asks the job stores whether they still have the first runs that wait for a key. Call it before a run is dropped because of them.</summary>
    /// <param name="key">The key.</param>
    /// <param name="count">How many of them are asked about.</param>
    /// <param name="blocks">Whether the caller has no asynchronous way.</param>
    /// <param name="stop">Gives up.</param>
    ValueTask<WaiterCheckResult> CheckWaitersAsync(LockKey key, int count, bool blocks, CancellationToken stop);

    /// <summary>The same for all runs that count for the length of the queue.</summary>
    /// <param name="key">The key.</param>
    /// <param name="count">How many of them are asked about.</param>
    /// <param name="blocks">Whether the caller has no asynchronous way.</param>
    /// <param name="stop">Gives up.</param>
    ValueTask<WaiterCheckResult> CheckCountedWaitersAsync(LockKey key, int count, bool blocks, CancellationToken stop);

    /// <summary>The job store keeps the run now: it may be woken.</summary>
    ValueTask ParkAsync(QueueEntry place, bool blocks, CancellationToken stop);

    /// <summary>Removes the entry of a run that has its locks, or is not to run.</summary>
    ValueTask DequeueAsync(QueueEntry place, bool blocks, CancellationToken stop);

    /// <summary>Wakes the next run that waits for a key, where one can run. Returns at once.</summary>
    void WakeNext(LockKey key);
}
