namespace JobLocks.Gate;

/// <summary>What the gate needs of whoever keeps the locks. Each question has a form for callers that have no asynchronous way.</summary>
internal interface ILockKeeper
{
    /// <summary>Put before every lock name; null for none.</summary>
    string? Scope { get; }

    /// <summary>Takes all of some locks, each key once, or none of them.</summary>
    /// <param name="wishes">What is wanted, in any order.</param>
    /// <param name="run">Whom to name as the holder.</param>
    /// <param name="stop">Gives up; what is granted all the same is given back.</param>
    /// <exception cref="JobLocksUnavailableException">The locks cannot be asked. Nothing was taken.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled. Nothing is held.</exception>
    Task<Taken> TryTakeAllAsync(IReadOnlyList<LockWish> wishes, Holder run, CancellationToken stop);

    /// <inheritdoc cref="TryTakeAllAsync"/>
    Taken TryTakeAll(IReadOnlyList<LockWish> wishes, Holder run, CancellationToken stop);

    /// <summary>Who has a lock right now, or one of its slots; null when nobody does any more.</summary>
    /// <exception cref="JobLocksUnavailableException">The locks cannot be asked.</exception>
    Task<Holder?> FindHolderAsync(LockWish wish, CancellationToken stop);

    /// <inheritdoc cref="FindHolderAsync"/>
    Holder? FindHolder(LockWish wish, CancellationToken stop);
}
