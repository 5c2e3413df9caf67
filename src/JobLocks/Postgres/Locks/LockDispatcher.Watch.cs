using System.Diagnostics;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;

namespace JobLocks.Postgres.Locks;

/// <content>Periodic work, on a thread of its own: the users' jobs cannot delay it.</content>
internal sealed partial class LockDispatcher
{
    private static readonly TimeSpan BetweenLooks = TimeSpan.FromMilliseconds(25);

    private readonly object _watchSync = new();
    private readonly List<(LockSession Session, TimeSpan When)> _expiredSessions = [];

    private void Watch()
    {
        while (!_closed)
        {
            lock (_watchSync)
            {
                if (!_closed) Monitor.Wait(_watchSync, BetweenLooks);
            }

            try
            {
                Tick();
                ReleaseCollected();
            }
            catch (Exception unexpected)
            {
                // For example, a logger threw. The thread must go on: otherwise no loss would be noticed.
                Debug.WriteLine(unexpected);
            }
        }

        lock (_sync) CutExpired(TimeSpan.MaxValue);
    }

    private void Tick()
    {
        LockSession? expired = null;
        LockSession? hanging = null;
        List<AcquireRequest> done = [];
        lock (_sync)
        {
            var now = BootClock.Now;
            if (_closed) return;

            CutExpired(now);
            if (_session is null)
            {
                if (_isWanted && now >= _tryAgainAt) StartSession();
            }
            else if (_isOpen)
            {
                if (now > Deadline)
                {
                    expired = _session;
                    expired.KeepOpen();
                    _expiredSessions.Add((expired, Deadline + _options.LossMargin));
                }
                else
                {
                    done = CheckOpenSession(now);
                }
            }
            else if (_session.IsOpeningTooLong)
            {
                hanging = _session;
            }
        }

        if (hanging is not null)
        {
            SessionBroke(hanging, new TimeoutException($"The server did not answer for {_options.OpensWithin.TotalSeconds:0.#} s while a session was being opened"));
            hanging.Cut();
        }

        if (expired is not null) SessionBroke(expired, new TimeoutException($"The server has not answered for {(_options.LostAfter - _options.LossMargin).TotalSeconds:0.#} s."));
        Complete(done);
    }

    /// <summary>Closes connections that were kept open while their runs stopped. The server may now grant their locks to others anyhow.</summary>
    private void CutExpired(TimeSpan now)
    {
        foreach (var (session, when) in _expiredSessions)
        {
            if (when <= now) session.Cut();
        }

        _expiredSessions.RemoveAll(expired => expired.When <= now);
    }

    private List<AcquireRequest> CheckOpenSession(TimeSpan now)
    {
        _reopenDelay = ShortestReopenDelay;
        _table.RetryDeferred(now);
        if (now - _retriedAt > BetweenRetries)
        {
            _retriedAt = now;
            _table.RetryAll();
            _listener.StopUnless(_table.WaitsForOtherProcesses);
        }

        // An idle connection does not show by itself that it is broken. A busy one shows it as soon as its statement fails.
        if (_session!.IsIdle && (now - _provedAt >= _options.HeartbeatInterval || _session.HasNews()))
        {
            _heartbeatIsDue = true;
            Monitor.PulseAll(_sync);
        }

        return WakeSessionAndTakeDone();
    }
}
