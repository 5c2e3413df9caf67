using System.Diagnostics;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;

namespace JobLocks.Postgres.Locks;

/// <content>What happens by itself as time passes, on a thread of its own: nothing that the users' jobs do holds it up.</content>
internal sealed partial class LockDispatcher
{
    private static readonly TimeSpan BetweenLooks = TimeSpan.FromMilliseconds(25);

    private readonly object _rest = new();
    private readonly List<(LockSession Session, TimeSpan When)> _late = [];

    private void Watch()
    {
        while (!_closed)
        {
            lock (_rest)
            {
                if (!_closed) Monitor.Wait(_rest, BetweenLooks);
            }

            try
            {
                Tick();
                ReleaseCollected();
            }
            catch (Exception unexpected)
            {
                // A logger that throws, for example. The watch must go on, or nobody would learn of a loss.
                Debug.WriteLine(unexpected);
            }
        }

        lock (_sync) CutLate(TimeSpan.MaxValue);
    }

    private void Tick()
    {
        LockSession? late = null;
        LockSession? hangs = null;
        List<AcquireRequest> done = [];
        lock (_sync)
        {
            var now = BootClock.Now;
            if (_closed) return;

            CutLate(now);
            if (_session is null)
            {
                if (_isWanted && now >= _tryAgainAt) StartSession();
            }
            else if (_isOpen)
            {
                if (now > Deadline)
                {
                    late = _session;
                    late.Stay();
                    _late.Add((late, Deadline + _options.LossMargin));
                }
                else
                {
                    done = LookAround(now);
                }
            }
            else if (_session.OpensTooLong)
            {
                hangs = _session;
            }
        }

        if (hangs is not null)
        {
            Broke(hangs, new TimeoutException($"The server did not answer for {_options.OpensWithin.TotalSeconds:0.#} s while a session was being opened"));
            hangs.Cut();
        }

        if (late is not null) Broke(late, new TimeoutException($"The server has not answered for {(_options.LostAfter - _options.LossMargin).TotalSeconds:0.#} s."));
        Complete(done);
    }

    /// <summary>Ends the connections that stayed for their runs to stop in. Now the server may give their locks away anyhow.</summary>
    private void CutLate(TimeSpan now)
    {
        foreach (var (session, when) in _late)
        {
            if (when <= now) session.Cut();
        }

        _late.RemoveAll(late => late.When <= now);
    }

    private List<AcquireRequest> LookAround(TimeSpan now)
    {
        _pause = ShortestPause;
        _table.RetryLater(now);
        if (now - _retriedAt > BetweenRetries)
        {
            _retriedAt = now;
            _table.RetryAll();
            _listener.StopUnless(_table.WaitsForOthers);
        }

        // An idle connection does not show by itself that it broke. A busy one is about to.
        if (_session!.Idles && (now - _provedAt >= _options.HeartbeatInterval || _session.HasNews()))
        {
            _beat = true;
            Monitor.PulseAll(_sync);
        }

        return Send();
    }
}
