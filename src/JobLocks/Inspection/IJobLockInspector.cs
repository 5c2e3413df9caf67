namespace JobLocks;

/// <summary>Looks at locks: who has them, who waits, since when, and why a run does not start. From any process, for all processes.</summary>
/// <remarks>
/// <para>
/// PostgreSQL's own lock table is the truth: what it does not show is not shown as held. Who has a lock of another process is known once it
/// was held for a quarter of a second; before that, its process is.
/// </para>
/// <para>Pages have at most a hundred rows. Thread-safe.</para>
/// </remarks>
/// <example><code>
/// foreach (var held in (await locks.Inspector.GetHeldAsync(stop: stop)).Items)
///     Console.WriteLine($"{held.Name ?? held.Key.ToString()} is held by {held.Holder} since {held.Holder.Since}");
/// </code></example>
public interface IJobLockInspector
{
    /// <summary>What happens at the moment.</summary>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<LockOverview> GetOverviewAsync(CancellationToken stop = default);

    /// <summary>What happens at the moment, with a part of what is held and of what waits: in one reading, so that all numbers fit together.</summary>
    /// <param name="heldSkip">How many holders to leave out.</param>
    /// <param name="waitingSkip">How many names for which runs wait to leave out.</param>
    /// <param name="take">How many to read of each, at most 100.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="heldSkip"/> or <paramref name="waitingSkip"/> is negative, or <paramref name="take"/> is not between 1 and 100.</exception>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<LockSnapshot> GetSnapshotAsync(int heldSkip = 0, int waitingSkip = 0, int take = 100, CancellationToken stop = default);

    /// <summary>What is held, the longest first.</summary>
    /// <param name="skip">How many to leave out.</param>
    /// <param name="take">How many to read, at most 100.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="skip"/> is negative, or <paramref name="take"/> is not between 1 and 100.</exception>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<LockPage<HeldLock>> GetHeldAsync(int skip = 0, int take = 100, CancellationToken stop = default);

    /// <summary>The names for which runs wait, the longest line first.</summary>
    /// <param name="skip">How many to leave out.</param>
    /// <param name="take">How many to read, at most 100.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="skip"/> is negative, or <paramref name="take"/> is not between 1 and 100.</exception>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<LockPage<WaitingName>> GetWaitingAsync(int skip = 0, int take = 100, CancellationToken stop = default);

    /// <summary>The runs that wait for one name, in their order.</summary>
    /// <param name="key">The key of the name.</param>
    /// <param name="skip">How many to leave out.</param>
    /// <param name="take">How many to read, at most 100.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="skip"/> is negative, or <paramref name="take"/> is not between 1 and 100.</exception>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<LockPage<QueuedRun>> GetWaitingAsync(LockKey key, int skip = 0, int take = 100, CancellationToken stop = default);

    /// <summary>Everything about one name, in one reading, with the first hundred runs that wait.</summary>
    /// <param name="key">The key of the name.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<NamedLock> GetNameAsync(LockKey key, CancellationToken stop = default);

    /// <summary>Everything about one name, in one reading, with a part of the runs that wait.</summary>
    /// <param name="key">The key of the name.</param>
    /// <param name="skip">How many of the runs that wait to leave out.</param>
    /// <param name="take">How many of them to read, at most 100.</param>
    /// <param name="run">A run for which <see cref="NamedLock.Explanation"/> is wanted, as for <see cref="ExplainAsync"/>; null for none.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="ArgumentOutOfRangeException"><paramref name="skip"/> is negative, or <paramref name="take"/> is not between 1 and 100.</exception>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<NamedLock> GetNameAsync(LockKey key, int skip, int take, string? run = null, CancellationToken stop = default);

    /// <summary>Finds names by a part of them, by their key, or by the run that waits for them or has them.</summary>
    /// <param name="text">What to look for.</param>
    /// <param name="stop">Gives up.</param>
    /// <returns>At most a hundred.</returns>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<IReadOnlyList<LockMatch>> FindAsync(string text, CancellationToken stop = default);

    /// <summary>Why a run does not start, in one sentence: what it waits for, who has that, since when, at which place, and how long it usually takes.</summary>
    /// <param name="run">The run as its store names it: in Hangfire the id of the job, in Quartz the name of the trigger that waits; or the key of a job of Quartz, of whose runs the first counts.</param>
    /// <param name="stop">Gives up.</param>
    /// <returns>The sentence; or what the run has, where it runs. Null where it neither waits nor is known to have a lock.</returns>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<string?> ExplainAsync(string run, CancellationToken stop = default);

    /// <summary>
    /// Asks the process that has a lock to cancel its run (<see cref="JobLockHandle.Lost"/>) and let go, and waits for a while whether it does.
    /// The lock is let go when the run ends, and not before: nobody can have it meanwhile. This process logs who asked before it tells the holder,
    /// and that of the holder when it hears of it.
    /// </summary>
    /// <param name="key">The key of the lock, or of its slot.</param>
    /// <param name="by">Who asks, for the log and for the record of the run.</param>
    /// <param name="atMost">How long to wait; null for ten seconds.</param>
    /// <param name="stop">Gives up waiting; what was asked stays asked.</param>
    /// <exception cref="ArgumentException"><paramref name="by"/> is empty.</exception>
    /// <exception cref="UnauthorizedAccessException">This role may not ask for locks.</exception>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<ReleaseAnswer> RequestReleaseAsync(LockKey key, string by, TimeSpan? atMost = null, CancellationToken stop = default);

    /// <summary>
    /// Ends a session that holds locks, whosever it is: the last resort, since its runs may go on without their locks. Needs a role that may
    /// (<c>pg_signal_backend</c>, or the role of that session).
    /// </summary>
    /// <param name="backend">The server's process behind it.</param>
    /// <param name="by">Who does it, for the log of this process, before it is tried and after. The other process only sees that its session is gone.</param>
    /// <param name="stop">Gives up.</param>
    /// <returns>False where there is no such session with a lock.</returns>
    /// <exception cref="ArgumentException"><paramref name="by"/> is empty.</exception>
    /// <exception cref="UnauthorizedAccessException">This role may not.</exception>
    /// <exception cref="JobLocksUnavailableException">PostgreSQL cannot be asked.</exception>
    Task<bool> EndSessionAsync(int backend, string by, CancellationToken stop = default);
}
