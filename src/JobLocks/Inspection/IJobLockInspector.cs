namespace JobLocks;

/// <summary>Reads the state of the locks of all processes: holders, waiting runs, times, and why a run does not start. Any process can use it.</summary>
/// <remarks>
/// <para>
/// The data comes from PostgreSQL's own lock table: a lock that <c>pg_locks</c> does not show is not shown as held. The run that holds a lock in
/// another process is known once the lock was held for a quarter of a second; before that, only the process is known.
/// </para>
/// <para>Pages have at most a hundred rows. Thread-safe.</para>
/// </remarks>
/// <example><code>
/// foreach (var held in (await locks.Inspector.GetHeldAsync(stop: stop)).Items)
///     Console.WriteLine($"{held.Name ?? held.Key.ToString()} is held by {held.Holder} since {held.Holder.Since}");
/// </code></example>
public interface IJobLockInspector
{
    /// <summary>The current state of all locks, in numbers.</summary>
    /// <param name="stop">Cancels the call.</param>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<LockOverview> GetOverviewAsync(CancellationToken stop = default);

    /// <summary>
    /// The current state of all locks, with a page of held locks and a page of names for which runs wait. All are read at one moment, so that the
    /// numbers are consistent.
    /// </summary>
    /// <param name="heldSkip">How many held locks to skip.</param>
    /// <param name="waitingSkip">How many names for which runs wait to skip.</param>
    /// <param name="take">How many of each to read, from 1 to 100.</param>
    /// <param name="stop">Cancels the call.</param>
    /// <exception cref="ArgumentOutOfRangeException">
    /// <paramref name="heldSkip"/> or <paramref name="waitingSkip"/> is negative, or <paramref name="take"/> is not between 1 and 100.
    /// </exception>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<LockSnapshot> GetSnapshotAsync(int heldSkip = 0, int waitingSkip = 0, int take = 100, CancellationToken stop = default);

    /// <summary>The held locks. The lock that is held for the longest time is the first.</summary>
    /// <param name="skip">How many to skip.</param>
    /// <param name="take">How many to read, from 1 to 100.</param>
    /// <param name="stop">Cancels the call.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="skip"/> is negative, or <paramref name="take"/> is not between 1 and 100.</exception>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<LockPage<HeldLock>> GetHeldAsync(int skip = 0, int take = 100, CancellationToken stop = default);

    /// <summary>The names for which runs wait. The name with the longest queue is the first.</summary>
    /// <param name="skip">How many to skip.</param>
    /// <param name="take">How many to read, from 1 to 100.</param>
    /// <param name="stop">Cancels the call.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="skip"/> is negative, or <paramref name="take"/> is not between 1 and 100.</exception>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<LockPage<WaitingName>> GetWaitingAsync(int skip = 0, int take = 100, CancellationToken stop = default);

    /// <summary>The runs that wait for one name, in the order of the queue.</summary>
    /// <param name="key">The key of the lock name.</param>
    /// <param name="skip">How many to skip.</param>
    /// <param name="take">How many to read, from 1 to 100.</param>
    /// <param name="stop">Cancels the call.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="skip"/> is negative, or <paramref name="take"/> is not between 1 and 100.</exception>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<LockPage<QueuedRun>> GetWaitingAsync(LockKey key, int skip = 0, int take = 100, CancellationToken stop = default);

    /// <summary>All data about one name at one moment, with the first hundred waiting runs.</summary>
    /// <param name="key">The key of the lock name.</param>
    /// <param name="stop">Cancels the call.</param>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<NamedLock> GetNameAsync(LockKey key, CancellationToken stop = default);

    /// <summary>All data about one name at one moment, with a page of the waiting runs.</summary>
    /// <param name="key">The key of the lock name.</param>
    /// <param name="skip">How many of the waiting runs to skip.</param>
    /// <param name="take">How many of the waiting runs to read, from 1 to 100.</param>
    /// <param name="run">The run that <see cref="NamedLock.Explanation"/> explains, as for <see cref="ExplainAsync"/>; null for none.</param>
    /// <param name="stop">Cancels the call.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="skip"/> is negative, or <paramref name="take"/> is not between 1 and 100.</exception>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<NamedLock> GetNameAsync(LockKey key, int skip, int take, string? run = null, CancellationToken stop = default);

    /// <summary>Finds lock names by a part of the name, by the key, or by a run that waits for the lock or holds it.</summary>
    /// <param name="text">The text to search for.</param>
    /// <param name="stop">Cancels the call.</param>
    /// <returns>At most 100 matches.</returns>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<IReadOnlyList<LockMatch>> FindAsync(string text, CancellationToken stop = default);

    /// <summary>Why a run does not start, in one sentence: the lock for which it waits, the holder, since when, the position, and the usual duration.</summary>
    /// <param name="run">
    /// The name of the run in the wait queue, as <see cref="QueuedRun.Run"/>; or its job, as <see cref="QueuedRun.Job"/>: in Hangfire the id of the job, in
    /// Quartz the key of the job. The plain name of a Quartz trigger is not found. Of several waiting runs of one job, the first one counts.
    /// </param>
    /// <param name="stop">Cancels the call.</param>
    /// <returns>The sentence. For a run that has started, the lock that it holds. Null where the run neither waits nor is known to hold a lock.</returns>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<string?> ExplainAsync(string run, CancellationToken stop = default);

    /// <summary>
    /// Requests the release of a lock: the process that holds it cancels <see cref="JobLockHandle.Lost"/>. Then waits until the lock is released, or
    /// until the time is over. The lock is released when the run ends, and not before, so no other run can acquire it meanwhile. This process logs
    /// the user before it sends the request, and the process of the holder logs the user when it receives the request.
    /// </summary>
    /// <param name="key">The key of the lock, or of its slot.</param>
    /// <param name="by">The user who requests the release, for the logs and for the record of the run.</param>
    /// <param name="atMost">The longest wait; null for ten seconds.</param>
    /// <param name="stop">Cancels the wait. A request that was sent remains in force.</param>
    /// <exception cref="ArgumentException"><paramref name="by"/> is empty.</exception>
    /// <exception cref="UnauthorizedAccessException">This database role may not request releases: see <c>docs/grants.sql</c>.</exception>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<ReleaseAnswer> RequestReleaseAsync(LockKey key, string by, TimeSpan? atMost = null, CancellationToken stop = default);

    /// <summary>
    /// Ends a session that holds locks, of JobLocks or of any other program. Use it as the last resort, because the runs of that session may
    /// continue without their locks. The database role needs the right to do so (<c>pg_signal_backend</c>, or the role of that session).
    /// </summary>
    /// <param name="backend">The process id of the backend of the session.</param>
    /// <param name="by">
    /// The user who ends the session. This process logs the user before the attempt and after it; the other process only sees that its session has ended.
    /// </param>
    /// <param name="stop">Cancels the call.</param>
    /// <returns>False where no session with that backend holds a lock.</returns>
    /// <exception cref="ArgumentException"><paramref name="by"/> is empty.</exception>
    /// <exception cref="UnauthorizedAccessException">This database role may not end that session.</exception>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<bool> EndSessionAsync(int backend, string by, CancellationToken stop = default);
}
