using JobLocks.Locks;

namespace JobLocks.Postgres.Locks;

/// <summary>One element of a statement, and the server's answer to it.</summary>
internal sealed record LockOperation(OperationCode Code, LockKey Key)
{
    public bool IsAcquire => Code is OperationCode.Acquire or OperationCode.AcquireShared or OperationCode.AcquireSlot;

    public bool IsRelease => Code is OperationCode.Release or OperationCode.ReleaseShared;

    /// <summary>
    /// For an acquire operation, the entry limit: entries of the wait queue with smaller numbers precede it, see <see cref="EntryLimit"/>. For a
    /// release, the key of the wait queue whose next run can be woken.
    /// </summary>
    public long QueueArgument { get; init; }

    /// <summary>The acquire request that waits for the answer; null if no caller waits.</summary>
    public AcquireRequest? Request { get; init; }

    /// <summary>The index of the lock request within <see cref="Request"/>.</summary>
    public int Index { get; init; }

    /// <summary>The grant that is released.</summary>
    public LockGrant? Grant { get; init; }

    /// <summary>For <see cref="OperationCode.AcquireSlot"/>: the keys to try, in order.</summary>
    public IReadOnlyList<LockKey> Slots { get; init; } = [];

    /// <summary>
    /// 0: refused, or not held. -1: the lock table of the server is full. Acquire: 1 if granted; -2 if entries of the wait queue precede the request;
    /// -2 - n if the entry number n was drawn as well. Slot: the number of the granted slot, from 1, in the order of <see cref="Slots"/>. Release: 1, or more if other processes were
    /// notified. Draw: the token.
    /// </summary>
    public long Result { get; set; }
}
