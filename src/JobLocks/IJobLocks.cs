namespace JobLocks;

/// <summary>Locks by hand: the same locks that <c>[JobLock]</c> takes for a run.</summary>
/// <remarks>
/// <para>A lock is held until its handle is disposed or the process dies; it never expires while the process lives.</para>
/// <para>Not re-entrant: a second take of a held name is refused, in this process as in any other.</para>
/// <para>Thread-safe. The synchronous members block the calling thread; prefer their asynchronous twins.</para>
/// </remarks>
/// <example><code>
/// await using var handle = await locks.TryAcquireAsync("sync(4)", stop);
/// if (handle is null) return;             // someone else has it
/// await SyncAsync(4, handle.Lost);
/// </code></example>
public interface IJobLocks
{
    /// <summary>Takes the lock of a name if it is free.</summary>
    /// <param name="name">The lock name; <see cref="JobLocksOptions.Scope"/> is put before it.</param>
    /// <param name="stop">Gives up until the question is sent; its answer is then awaited, so that no grant is left behind.</param>
    /// <returns>The handle that releases it; null when someone else has it.</returns>
    /// <exception cref="ArgumentException">The name is empty, or holds half of a surrogate pair.</exception>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked. Nothing was taken.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled. Nothing was taken.</exception>
    Task<JobLockHandle?> TryAcquireAsync(string name, CancellationToken stop = default);

    /// <summary>Takes the lock of a key if it is free: <c>new LockKey(4)</c> is what <c>pg_try_advisory_lock(4)</c> takes.</summary>
    /// <param name="key">The key, as it is: no scope is put before it.</param>
    /// <param name="stop">Gives up until the question is sent; its answer is then awaited, so that no grant is left behind.</param>
    /// <returns>The handle that releases it; null when someone else has it.</returns>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked. Nothing was taken.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled. Nothing was taken.</exception>
    Task<JobLockHandle?> TryAcquireAsync(LockKey key, CancellationToken stop = default);

    /// <summary>Takes the lock of a name, waiting for it if someone else has it.</summary>
    /// <param name="name">The lock name; <see cref="JobLocksOptions.Scope"/> is put before it.</param>
    /// <param name="timeout">How long to wait at most; <see cref="Timeout.InfiniteTimeSpan"/> for no limit.</param>
    /// <param name="stop">Gives up waiting.</param>
    /// <returns>The handle that releases it.</returns>
    /// <exception cref="ArgumentException">The name is empty, or holds half of a surrogate pair.</exception>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="timeout"/> is negative.</exception>
    /// <exception cref="TimeoutException">The lock was not free in time. The message names its holder.</exception>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked. Nothing was taken.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled. Nothing was taken.</exception>
    Task<JobLockHandle> AcquireAsync(string name, TimeSpan timeout, CancellationToken stop = default);

    /// <summary>Takes the lock of a key, waiting for it if someone else has it.</summary>
    /// <param name="key">The key, as it is: no scope is put before it.</param>
    /// <param name="timeout">How long to wait at most; <see cref="Timeout.InfiniteTimeSpan"/> for no limit.</param>
    /// <param name="stop">Gives up waiting.</param>
    /// <returns>The handle that releases it.</returns>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="timeout"/> is negative.</exception>
    /// <exception cref="TimeoutException">The lock was not free in time. The message names its holder.</exception>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked. Nothing was taken.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled. Nothing was taken.</exception>
    Task<JobLockHandle> AcquireAsync(LockKey key, TimeSpan timeout, CancellationToken stop = default);

    /// <summary>The synchronous twin of <see cref="TryAcquireAsync(string, CancellationToken)"/>.</summary>
    /// <inheritdoc cref="TryAcquireAsync(string, CancellationToken)"/>
    JobLockHandle? TryAcquire(string name, CancellationToken stop = default);

    /// <summary>The synchronous twin of <see cref="TryAcquireAsync(LockKey, CancellationToken)"/>.</summary>
    /// <inheritdoc cref="TryAcquireAsync(LockKey, CancellationToken)"/>
    JobLockHandle? TryAcquire(LockKey key, CancellationToken stop = default);

    /// <summary>The synchronous twin of <see cref="AcquireAsync(string, TimeSpan, CancellationToken)"/>.</summary>
    /// <inheritdoc cref="AcquireAsync(string, TimeSpan, CancellationToken)"/>
    JobLockHandle Acquire(string name, TimeSpan timeout, CancellationToken stop = default);

    /// <summary>The synchronous twin of <see cref="AcquireAsync(LockKey, TimeSpan, CancellationToken)"/>.</summary>
    /// <inheritdoc cref="AcquireAsync(LockKey, TimeSpan, CancellationToken)"/>
    JobLockHandle Acquire(LockKey key, TimeSpan timeout, CancellationToken stop = default);
}
