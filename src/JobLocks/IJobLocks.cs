using Npgsql;

namespace JobLocks;

/// <summary>Acquires locks from code. They are the same locks that <c>[JobLock]</c> acquires for a run.</summary>
/// <remarks>
/// <para>A lock is held until its handle is disposed or the process dies; it never expires while the process lives and reaches its server.</para>
/// <para>Not re-entrant: a name that is held exclusively cannot be acquired a second time, neither by this process nor by another one.</para>
/// <para>Waiting callers of one process acquire a lock in the order of their arrival. A reader does not pass a waiting writer.</para>
/// <para>
/// Where recent round trips to the server took less than half a millisecond on average, the <c>TryAcquire</c> methods perform the round trip on
/// the calling thread, because waking another thread would take longer. The token cannot cancel such a round trip: if the server stops answering
/// at that moment, the call ends when the session ends.
/// </para>
/// <para>
/// Thread-safe. The synchronous members block the calling thread and need no other thread of the pool. Prefer the asynchronous members. After
/// the locks were disposed, all members except the one with a transaction throw <see cref="ObjectDisposedException"/>.
/// </para>
/// </remarks>
/// <example><code>
/// await using var handle = await locks.TryAcquireAsync("sync(4)", stop);
/// if (handle is null) return;             // the lock is held, or runs wait for it
/// await SyncAsync(4, handle.Lost);
/// </code></example>
public interface IJobLocks
{
    /// <summary>Acquires the lock of a name if it is free and no run waits for it.</summary>
    /// <param name="name">The lock name. <see cref="JobLocksOptions.Scope"/> is put before it.</param>
    /// <param name="stop">Cancels the request. A lock that the server grants nevertheless is released.</param>
    /// <returns>The handle, whose disposal releases the lock; null when the lock is held, or when runs or callers of this process wait for it.</returns>
    /// <exception cref="ArgumentException">The name is empty, or contains half of a surrogate pair.</exception>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked. No lock is held.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled. No lock is held.</exception>
    Task<JobLockHandle?> TryAcquireAsync(string name, CancellationToken stop = default);

    /// <summary>Acquires the lock of a key if it is free and no run waits for it: <c>new LockKey(4)</c> is the lock that <c>pg_try_advisory_lock(4)</c> acquires.</summary>
    /// <param name="key">The key. No scope applies to it.</param>
    /// <param name="stop">Cancels the request. A lock that the server grants nevertheless is released.</param>
    /// <returns>The handle, whose disposal releases the lock; null when the lock is held, or when runs or callers of this process wait for it.</returns>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked. No lock is held.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled. No lock is held.</exception>
    Task<JobLockHandle?> TryAcquireAsync(LockKey key, CancellationToken stop = default);

    /// <summary>Acquires the lock of a name in a mode, if it is free for that mode and no run waits for it.</summary>
    /// <param name="name">The lock name. <see cref="JobLocksOptions.Scope"/> is put before it.</param>
    /// <param name="mode">Exclusive for a writer, shared for readers.</param>
    /// <param name="stop">Cancels the request. A lock that the server grants nevertheless is released.</param>
    /// <returns>
    /// The handle, whose disposal releases the lock; null when the lock is held, or when runs or callers of this process wait for it. For a reader also while a
    /// writer of another process waits for it.
    /// </returns>
    /// <inheritdoc cref="TryAcquireAsync(string, CancellationToken)" path="/exception"/>
    Task<JobLockHandle?> TryAcquireAsync(string name, LockMode mode, CancellationToken stop = default);

    /// <summary>Acquires the lock of a key in a mode, if it is free for that mode and no run waits for it.</summary>
    /// <param name="key">The key. No scope applies to it.</param>
    /// <param name="mode">Exclusive for a writer, shared for readers.</param>
    /// <param name="stop">Cancels the request. A lock that the server grants nevertheless is released.</param>
    /// <returns>
    /// The handle, whose disposal releases the lock; null when the lock is held, or when runs or callers of this process wait for it. For a reader also while a
    /// writer of another process waits for it.
    /// </returns>
    /// <inheritdoc cref="TryAcquireAsync(LockKey, CancellationToken)" path="/exception"/>
    Task<JobLockHandle?> TryAcquireAsync(LockKey key, LockMode mode, CancellationToken stop = default);

    /// <summary>Acquires the lock of a name in a transaction of the caller. The lock ends with the transaction. Works behind every pooler.</summary>
    /// <remarks>
    /// It is the same lock as elsewhere, held by the session of the transaction. So it also excludes other holders in this process, but the same
    /// transaction can acquire it repeatedly. Disposing the handle does nothing, and <see cref="JobLockHandle.Lost"/> is never cancelled: when the
    /// connection breaks, the transaction fails. Runs and callers that wait for the lock do not precede it. Waiting callers notice the end of the transaction
    /// within a second, waiting runs within <see cref="JobLocksOptions.SweepInterval"/>.
    /// </remarks>
    /// <param name="name">The lock name. <see cref="JobLocksOptions.Scope"/> is put before it.</param>
    /// <param name="transaction">An open transaction in the database of these locks. It must not be used by another call meanwhile.</param>
    /// <param name="stop">Cancels the command, as for any command of the transaction.</param>
    /// <returns>A handle that identifies the lock; null when the lock is held.</returns>
    /// <exception cref="ArgumentException">
    /// The name is empty, or contains half of a surrogate pair; or the transaction is over; or it is in another database or on another server than these locks.
    /// The place of the transaction is checked only while the session of these locks is open.
    /// </exception>
    /// <exception cref="NpgsqlException">The connection of the transaction broke.</exception>
    Task<JobLockHandle?> TryAcquireAsync(string name, NpgsqlTransaction transaction, CancellationToken stop = default);

    /// <summary>Acquires the locks of several names, or none of them. It cannot deadlock, whatever names other callers request in whatever order.</summary>
    /// <param name="names">At least one lock name. Duplicates count once. <see cref="JobLocksOptions.Scope"/> is put before each.</param>
    /// <param name="stop">Cancels the request. A lock that the server grants nevertheless is released.</param>
    /// <returns>The handles, whose disposal releases the locks; null when one of the locks is held, or when runs or callers of this process wait for one of them.</returns>
    /// <inheritdoc cref="TryAcquireAsync(string, CancellationToken)" path="/exception"/>
    Task<JobLockSet?> TryAcquireAllAsync(IEnumerable<string> names, CancellationToken stop = default);

    /// <summary>Acquires the lock of a name, and waits for it while it is held.</summary>
    /// <param name="name">The lock name. <see cref="JobLocksOptions.Scope"/> is put before it.</param>
    /// <param name="timeout">The longest wait; <see cref="Timeout.InfiniteTimeSpan"/> for no limit.</param>
    /// <param name="stop">Cancels the wait. A lock that the server grants nevertheless is released.</param>
    /// <returns>The handle, whose disposal releases the lock.</returns>
    /// <exception cref="ArgumentException">The name is empty, or contains half of a surrogate pair.</exception>
    /// <exception cref="ArgumentOutOfRangeException">
    /// <paramref name="timeout"/> is negative or exceeds 24 days (<see cref="int.MaxValue"/> milliseconds).
    /// </exception>
    /// <exception cref="TimeoutException">The lock was not free within <paramref name="timeout"/>. The message names its holder.</exception>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked. No lock is held.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled. No lock is held.</exception>
    Task<JobLockHandle> AcquireAsync(string name, TimeSpan timeout, CancellationToken stop = default);

    /// <summary>Acquires the lock of a key, and waits for it while it is held.</summary>
    /// <param name="key">The key. No scope applies to it.</param>
    /// <param name="timeout">The longest wait; <see cref="Timeout.InfiniteTimeSpan"/> for no limit.</param>
    /// <param name="stop">Cancels the wait. A lock that the server grants nevertheless is released.</param>
    /// <returns>The handle, whose disposal releases the lock.</returns>
    /// <exception cref="ArgumentOutOfRangeException">
    /// <paramref name="timeout"/> is negative or exceeds 24 days (<see cref="int.MaxValue"/> milliseconds).
    /// </exception>
    /// <exception cref="TimeoutException">The lock was not free within <paramref name="timeout"/>. The message names its holder.</exception>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked. No lock is held.</exception>
    /// <exception cref="OperationCanceledException"><paramref name="stop"/> was cancelled. No lock is held.</exception>
    Task<JobLockHandle> AcquireAsync(LockKey key, TimeSpan timeout, CancellationToken stop = default);

    /// <summary>Acquires the lock of a name in a mode, and waits for it while it is not free for that mode.</summary>
    /// <param name="name">The lock name. <see cref="JobLocksOptions.Scope"/> is put before it.</param>
    /// <param name="mode">Exclusive for a writer, shared for readers.</param>
    /// <param name="timeout">The longest wait; <see cref="Timeout.InfiniteTimeSpan"/> for no limit.</param>
    /// <param name="stop">Cancels the wait. A lock that the server grants nevertheless is released.</param>
    /// <returns>The handle, whose disposal releases the lock.</returns>
    /// <inheritdoc cref="AcquireAsync(string, TimeSpan, CancellationToken)" path="/exception"/>
    Task<JobLockHandle> AcquireAsync(string name, LockMode mode, TimeSpan timeout, CancellationToken stop = default);

    /// <summary>The synchronous form of <see cref="TryAcquireAsync(string, CancellationToken)"/>.</summary>
    /// <inheritdoc cref="TryAcquireAsync(string, CancellationToken)"/>
    JobLockHandle? TryAcquire(string name, CancellationToken stop = default);

    /// <summary>The synchronous form of <see cref="TryAcquireAsync(LockKey, CancellationToken)"/>.</summary>
    /// <inheritdoc cref="TryAcquireAsync(LockKey, CancellationToken)"/>
    JobLockHandle? TryAcquire(LockKey key, CancellationToken stop = default);

    /// <summary>The synchronous form of <see cref="AcquireAsync(string, TimeSpan, CancellationToken)"/>.</summary>
    /// <inheritdoc cref="AcquireAsync(string, TimeSpan, CancellationToken)"/>
    JobLockHandle Acquire(string name, TimeSpan timeout, CancellationToken stop = default);

    /// <summary>The synchronous form of <see cref="AcquireAsync(LockKey, TimeSpan, CancellationToken)"/>.</summary>
    /// <inheritdoc cref="AcquireAsync(LockKey, TimeSpan, CancellationToken)"/>
    JobLockHandle Acquire(LockKey key, TimeSpan timeout, CancellationToken stop = default);

    /// <summary>The synchronous form of <see cref="TryAcquireAsync(string, LockMode, CancellationToken)"/>.</summary>
    /// <inheritdoc cref="TryAcquireAsync(string, LockMode, CancellationToken)"/>
    JobLockHandle? TryAcquire(string name, LockMode mode, CancellationToken stop = default);

    /// <summary>The synchronous form of <see cref="AcquireAsync(string, LockMode, TimeSpan, CancellationToken)"/>.</summary>
    /// <inheritdoc cref="AcquireAsync(string, LockMode, TimeSpan, CancellationToken)"/>
    JobLockHandle Acquire(string name, LockMode mode, TimeSpan timeout, CancellationToken stop = default);

    /// <summary>The synchronous form of <see cref="TryAcquireAllAsync(IEnumerable{string}, CancellationToken)"/>.</summary>
    /// <inheritdoc cref="TryAcquireAllAsync(IEnumerable{string}, CancellationToken)"/>
    JobLockSet? TryAcquireAll(IEnumerable<string> names, CancellationToken stop = default);
}
