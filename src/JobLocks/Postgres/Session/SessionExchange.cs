using JobLocks.Diagnostics;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.WaitQueue;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;

namespace JobLocks.Postgres.Session;

/// <summary>
/// Gives work to the current session, and applies its answers. A session that was replaced gets no work, and its answers have no effect. Thread-safe.
/// </summary>
internal sealed class SessionExchange(StateMutex mutex, LocalLockTable table, SessionWorkQueue work, SessionSupervisor supervisor, LockEvents events, ILogger log)
{
    private readonly LogThrottle _notificationLogThrottle = new();

    /// <summary>Blocks until there is work. Returns null when the session is no longer the current one and no thread uses its connection.</summary>
    public SessionWork? NextWork(LockSession session)
    {
        work.Gather();
        lock (mutex)
        {
            while (true)
            {
                if (!session.IsBusy)
                {
                    if (!supervisor.IsCurrent(session)) return null;
                    if (work.HasWork) return work.Take(session);
                }

                work.Wait(session);
            }
        }
    }

    /// <summary>The work is done, and another thread can use the connection.</summary>
    public void WorkDone(LockSession session, TimeSpan roundTrip)
    {
        lock (mutex)
        {
            session.IsBusy = false;
            // After a caller's work, the idle session thread must be woken: for work noted meanwhile, or, if the session was replaced, to close the connection.
            if (session.IsIdle && (!supervisor.IsCurrent(session) || work.HasUrgentWork(session))) mutex.SignalChange();
            if (supervisor.IsCurrent(session)) work.Done(roundTrip);
        }
    }

    /// <summary>The server answered the statement that was sent at a time.</summary>
    public void Answered(LockSession session, TimeSpan sentAt, long token)
    {
        List<AcquireRequest> done;
        InvalidOperationException? interference;
        lock (mutex)
        {
            if (!supervisor.IsCurrent(session)) return;

            // A late answer proves nothing: the server may have granted the locks to others meanwhile.
            if (BootClock.Now <= supervisor.DeadlineOf(session))
            {
                session.ProvedAt = sentAt;
                foreach (var op in session.TakeSent()) table.Answered(op, token);
            }

            interference = DeclareMissing();
            done = supervisor.HandleTableOutput();
        }

        AcquireRequest.CompleteAll(done);
        if (interference is null) supervisor.CheckClock();
        else supervisor.Broke(session, interference);
    }

    /// <summary>
    /// The server answered another statement, sent at a time. On a slow network, several statements can take longer than the interval of the
    /// heartbeat.
    /// </summary>
    public void Proved(LockSession session, TimeSpan sentAt)
    {
        lock (mutex)
        {
            if (supervisor.IsCurrent(session) && sentAt > session.ProvedAt && BootClock.Now <= supervisor.DeadlineOf(session)) session.ProvedAt = sentAt;
        }
    }

    /// <summary>A statement failed, but the connection is still open.</summary>
    /// <param name="session">The session of the statement.</param>
    /// <param name="cause">The error.</param>
    /// <param name="held">The keys that the session holds, with their modes.</param>
    /// <param name="retriesOnce">Whether unanswered requests are sent once more before they fail.</param>
    public void Failed(LockSession session, Exception cause, IReadOnlySet<(LockKey Key, LockMode Mode)> held, bool retriesOnce)
    {
        bool lacksLocks;
        List<AcquireRequest> done;
        lock (mutex)
        {
            if (!supervisor.IsCurrent(session)) return;

            lacksLocks = table.Recovery.Reconcile(session.TakeSent(), held, supervisor.Unavailable(cause), retriesOnce);
            done = supervisor.HandleTableOutput();
        }

        AcquireRequest.CompleteAll(done);
        if (!retriesOnce) log.StatementFailed(supervisor.Server, cause);
        if (lacksLocks) supervisor.Broke(session, new InvalidOperationException("the session does not have all that it was granted: its locks were released from outside"));
    }

    /// <summary>At least one wait queue entry of each of these keys can run now.</summary>
    public void WaitersCanRun(IReadOnlyList<FreeKey> keys)
    {
        lock (mutex) work.WaitersCanRun();
        events.OnWaitersCanRun(keys);
    }

    /// <summary>The server could not notify other processes of a release. Logs a warning, unless one was logged a moment ago.</summary>
    public void NotificationsFailed(Exception cause)
    {
        if (_notificationLogThrottle.IsTime()) log.CannotNotify(supervisor.Server, LogThrottle.Pause.TotalSeconds, cause);
    }

    /// <summary>
    /// Declares locks lost that the session did not hold when they were released. Other locks may be missing as well, so the whole session counts as
    /// broken.
    /// </summary>
    /// <returns>Why the session is broken; null if no lock was missing.</returns>
    private InvalidOperationException? DeclareMissing()
    {
        var missing = table.Output.TakeMissing();
        foreach (var release in missing) release.Grant!.DeclareLost();
        return missing is [.., var last]
            ? new($"the lock {last.Grant} ({last.Key}) was released, but the session did not have it: its locks were released from outside")
            : null;
    }
}
