using Npgsql;

namespace JobLocks;

/// <summary>Locks by hand: the same locks that <c>[JobLock]</c> takes for a run.</summary>
/// <remarks>
/// <para>A lock is held until its handle is disposed or the process dies; it never expires while the process lives and reaches its server.</para>
/// <para>Not re-entrant: a second take of a held name is refused, in this process as in any other.</para>
/// <para>Those who wait in one process are served in the order of their arrival, and readers do not pass a writer that waits.</para>
/// <para>
/// Where the server has just answered within half a millisecond, one who tries does the round trip on its own thread, which is quicker than
/// waking another one, and which a token cannot cut short: should the server fall silent at that moment, it ends when the session does.
/// </para>
/// <para>
/// Thread-safe. The synchronous members block the calling thread, and need no other thread of the pool; prefer their asynchronous twins.
/// </para>
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
    /// <param name="stop">Gives up; what is granted all the same is given back.</param>
    /// <returns>The handle that releases it; null when someone else has it.</returns>
    /// <exception cref="ArgumentException">The name is empty, or holds half of a surrogate pair.</exception>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked. Nothing was taken.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled. Nothing was taken.</exception>
    Task<JobLockHandle?> TryAcquireAsync(string name, CancellationToken stop = default);

    /// <summary>Takes the lock of a key if it is free: <c>new LockKey(4)</c> is what <c>pg_try_advisory_lock(4)</c> takes.</summary>
    /// <param name="key">The key, as it is: no scope is put before it.</param>
    /// <param name="stop">Gives up; what is granted all the same is given back.</param>
    /// <returns>The handle that releases it; null when someone else has it.</returns>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked. Nothing was taken.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled. Nothing was taken.</exception>
    Task<JobLockHandle?> TryAcquireAsync(LockKey key, CancellationToken stop = default);

    /// <summary>Takes the lock of a name if it is free for this mode.</summary>
    /// <param name="name">The lock name; <see cref="JobLocksOptions.Scope"/> is put before it.</param>
    /// <param name="mode">Readers together, or one writer alone.</param>
    /// <param name="stop">Gives up; what is granted all the same is given back.</param>
    /// <returns>The handle that releases it; null when someone else has it, and for a reader also while a writer waits for it.</returns>
    /// <inheritdoc cref="TryAcquireAsync(string, CancellationToken)" path="/exception"/>
    Task<JobLockHandle?> TryAcquireAsync(string name, LockMode mode, CancellationToken stop = default);

    /// <summary>Takes the lock of a key if it is free for this mode.</summary>
    /// <param name="key">The key, as it is: no scope is put before it.</param>
    /// <param name="mode">Readers together, or one writer alone.</param>
    /// <param name="stop">Gives up; what is granted all the same is given back.</param>
    /// <returns>The handle that releases it; null when someone else has it, and for a reader also while a writer waits for it.</returns>
    /// <inheritdoc cref="TryAcquireAsync(LockKey, CancellationToken)" path="/exception"/>
    Task<JobLockHandle?> TryAcquireAsync(LockKey key, LockMode mode, CancellationToken stop = default);

    /// <summary>Takes the lock of a name in a transaction of the caller, with which it ends: the way that works behind every pooler.</summary>
    /// <remarks>
    /// The same lock as elsewhere, taken by another session: it excludes those of this process too, except further takes in the same
    /// transaction. Disposing the handle does nothing, and its <see cref="JobLockHandle.Lost"/> stays silent: the transaction fails instead.
    /// Those who wait for the lock notice its end within a second.
    /// </remarks>
    /// <param name="name">The lock name; <see cref="JobLocksOptions.Scope"/> is put before it.</param>
    /// <param name="transaction">Open, in the database of these locks, and not in use meanwhile.</param>
    /// <param name="stop">Gives up, as for any command of the transaction.</param>
    /// <returns>A handle that names the lock; null when someone else has it.</returns>
    /// <exception cref="ArgumentException">The name is empty, or holds half of a surrogate pair; or the transaction is over.</exception>
    /// <exception cref="NpgsqlException">The transaction's connection broke.</exception>
    Task<JobLockHandle?> TryAcquireAsync(string name, NpgsqlTransaction transaction, CancellationToken stop = default);

    /// <summary>Takes the locks of several names, or none of them. Whatever others take in whatever order, nobody waits for ever.</summary>
    /// <param name="names">At least one; a name that is there twice counts once. <see cref="JobLocksOptions.Scope"/> is put before each.</param>
    /// <param name="stop">Gives up; what is granted all the same is given back.</param>
    /// <returns>What releases them; null when someone else has one of them.</returns>
    /// <inheritdoc cref="TryAcquireAsync(string, CancellationToken)" path="/exception"/>
    Task<JobLockSet?> TryAcquireAllAsync(IEnumerable<string> names, CancellationToken stop = default);

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

    /// <summary>Takes the lock of a name for this mode, waiting for it if someone else has it.</summary>
    /// <param name="name">The lock name; <see cref="JobLocksOptions.Scope"/> is put before it.</param>
    /// <param name="mode">Readers together, or one writer alone.</param>
    /// <param name="timeout">How long to wait at most; <see cref="Timeout.InfiniteTimeSpan"/> for no limit.</param>
    /// <param name="stop">Gives up waiting.</param>
    /// <returns>The handle that releases it.</returns>
    /// <inheritdoc cref="AcquireAsync(string, TimeSpan, CancellationToken)" path="/exception"/>
    Task<JobLockHandle> AcquireAsync(string name, LockMode mode, TimeSpan timeout, CancellationToken stop = default);

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

    /// <summary>The synchronous twin of <see cref="TryAcquireAsync(string, LockMode, CancellationToken)"/>.</summary>
    /// <inheritdoc cref="TryAcquireAsync(string, LockMode, CancellationToken)"/>
    JobLockHandle? TryAcquire(string name, LockMode mode, CancellationToken stop = default);

    /// <summary>The synchronous twin of <see cref="AcquireAsync(string, LockMode, TimeSpan, CancellationToken)"/>.</summary>
    /// <inheritdoc cref="AcquireAsync(string, LockMode, TimeSpan, CancellationToken)"/>
    JobLockHandle Acquire(string name, LockMode mode, TimeSpan timeout, CancellationToken stop = default);

    /// <summary>The synchronous twin of <see cref="TryAcquireAllAsync(IEnumerable{string}, CancellationToken)"/>.</summary>
    /// <inheritdoc cref="TryAcquireAllAsync(IEnumerable{string}, CancellationToken)"/>
    JobLockSet? TryAcquireAll(IEnumerable<string> names, CancellationToken stop = default);
}
