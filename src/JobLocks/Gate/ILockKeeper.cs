namespace JobLocks.Gate;

/// <summary>What the gate needs of whoever keeps the locks.</summary>
internal interface ILockKeeper
{
    /// <summary>Put before every lock name; null for none.</summary>
    string? Scope { get; }

    /// <summary>Takes one lock if it is free.</summary>
    /// <param name="name">The name, scope included; null where only the key is known.</param>
    /// <param name="key">The key.</param>
    /// <param name="run">Whom to name as the holder.</param>
    /// <param name="stop">Gives up before the lock is asked for.</param>
    /// <exception cref="JobLocksUnavailableException">The locks cannot be asked. Nothing was taken.</exception>
    Task<JobLockHandle?> TryTakeAsync(string? name, LockKey key, Holder run, CancellationToken stop);

    /// <summary>Who holds a key right now; null when nobody does any more.</summary>
    /// <exception cref="JobLocksUnavailableException">The locks cannot be asked.</exception>
    Task<Holder?> FindHolderAsync(LockKey key, CancellationToken stop);
}
