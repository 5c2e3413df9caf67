using JobLocks.Locks;

namespace JobLocks.Postgres.Locks;

/// <summary>One thing that the session is told to do, and the server's answer to it.</summary>
internal sealed record LockOperation(OperationCode Verb, LockKey Key)
{
    public bool IsTake => Verb is OperationCode.Take or OperationCode.TakeShared or OperationCode.TakeSlot;

    public bool IsRelease => Verb is OperationCode.Release or OperationCode.ReleaseShared;

    /// <summary>
    /// A take: those who stand in the line before this place go first, see <see cref="QueuePrecedence"/>. A release: the key in whose line the next one stands.
    /// </summary>
    public long QueueArgument { get; init; }

    /// <summary>Who asks, where somebody waits for the answer.</summary>
    public AcquireRequest? Request { get; init; }

    /// <summary>Which of the acquire's requests this is about.</summary>
    public int Index { get; init; }

    /// <summary>The grant that is given back.</summary>
    public LockGrant? Grant { get; init; }

    /// <summary>For <see cref="OperationCode.TakeSlot"/>: the keys to try, in this order.</summary>
    public IReadOnlyList<LockKey> Slots { get; init; } = [];

    /// <summary>
    /// 0: refused, or not held. A take: 1; -2 or less where others stand in the line, with the place that was drawn below it. A slot: the number of the one that was free, from 1, in the order in which they were tried.
    /// A release: 1, or more if somebody was told. A draw: the token.
    /// </summary>
    public long Result { get; set; }
}
