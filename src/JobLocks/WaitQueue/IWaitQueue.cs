using JobLocks.Locks;
using JobLocks.Rules;

namespace JobLocks.WaitQueue;

/// <summary>
/// The runs that wait for a lock, in the order of their arrival, for all schedulers and processes together. A run always follows these steps: it is
/// enqueued, requests its lock once more, and is parked in its job store. A release of the lock wakes the next run, which then requests the lock itself. A
/// caller that cannot await passes <c>blocks: true</c>: then the method blocks the calling thread and returns a completed task. Thread-safe.
/// </summary>
internal interface IWaitQueue
{
    /// <summary>Whether runs can wait in the queue.</summary>
    /// <exception cref="JobLocksUnavailableException">The lock server cannot be asked.</exception>
    ValueTask<bool> IsUsableAsync(bool blocks, CancellationToken stop);

    /// <summary>Makes a job store known: from now on this process wakes its runs while one of its schedulers takes runs.</summary>
    void AddStore(IRunStore store);

    /// <summary>Forgets a job store: from now on this process does not wake its runs any more; other processes may.</summary>
    void RemoveStore(IRunStore store);

    /// <summary>The entry of a run; null where it has none.</summary>
    ValueTask<QueueEntry?> FindAsync(RunAddress run, bool blocks, CancellationToken stop);

    /// <summary>Enqueues a run. A run that already has an entry keeps its number, even where it waited for another lock.</summary>
    /// <param name="run">The run.</param>
    /// <param name="request">The lock for which the run waits.</param>
    /// <param name="rules">How many runs may wait, and for how long.</param>
    /// <param name="blocks">Whether to block the calling thread instead of awaiting.</param>
    /// <param name="stop">Cancels the call.</param>
    ValueTask<EnqueueResult> EnqueueAsync(RunAddress run, LockRequest request, WaitRules rules, bool blocks, CancellationToken stop);

    /// <summary>Enqueues a run in a full queue: the oldest waiting run is skipped for it.</summary>
    ValueTask<EnqueueResult> ReplaceOldestAsync(RunAddress run, LockRequest request, WaitRules rules, bool blocks, CancellationToken stop);

    /// <summary>Asks the job stores whether they still have the first runs that wait for a key. Called before another run is skipped or failed because of them.</summary>
    /// <param name="key">The key.</param>
    /// <param name="count">How many runs to ask about.</param>
    /// <param name="blocks">Whether to block the calling thread instead of awaiting.</param>
    /// <param name="stop">Cancels the call.</param>
    ValueTask<WaiterCheckResult> CheckWaitersAsync(LockKey key, int count, bool blocks, CancellationToken stop);

    /// <summary>The same for the runs that count towards the length of the queue.</summary>
    /// <param name="key">The key.</param>
    /// <param name="count">How many runs to ask about.</param>
    /// <param name="blocks">Whether to block the calling thread instead of awaiting.</param>
    /// <param name="stop">Cancels the call.</param>
    ValueTask<WaiterCheckResult> CheckCountedWaitersAsync(LockKey key, int count, bool blocks, CancellationToken stop);

    /// <summary>Records that the job store has parked the run. From now on a wake is delivered to the store.</summary>
    ValueTask MarkParkedAsync(QueueEntry entry, bool blocks, CancellationToken stop);

    /// <summary>
    /// Watches for the wake of a run that stays in its worker instead of being parked. Call it before the lock is requested once more: then no wake is missed.
    /// </summary>
    WakeWatch WatchWake(QueueEntry entry);

    /// <summary>
    /// Calls the next run that waits for a key: its job store starts it although the lock is still held, and it waits in its worker until it is woken. So it
    /// starts at once when the lock is free. Only a run of this process with room for such a wait is called. Does not block.
    /// </summary>
    /// <param name="key">The key.</param>
    /// <param name="after">The delay before the call. A release of the key in the meantime cancels the call.</param>
    void CallNext(LockKey key, TimeSpan after);

    /// <summary>Removes the entry of a run that has its locks, or does not wait any more.</summary>
    ValueTask DequeueAsync(QueueEntry entry, bool blocks, CancellationToken stop);

    /// <summary>Removes the entry of a run that has started, as soon as the queue can be used. Does not block.</summary>
    void DequeueLater(RunAddress run);

    /// <summary>Wakes the next run that waits for a key, where it can run. Does not block.</summary>
    void WakeNext(LockKey key);
}
