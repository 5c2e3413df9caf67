using JobLocks.Diagnostics;

namespace JobLocks.Postgres;

/// <content>The sessions, one after the other: how one is opened, proves itself, is lost, and is followed by the next.</content>
internal sealed partial class LockDesk
{
    private static readonly TimeSpan ShortestPause = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan BetweenBreaks = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan BetweenRetries = TimeSpan.FromSeconds(1);

    private readonly ReleaseListener _listener;
    private LockSession? _session;
    private Thread? _watch;
    private JobLocksUnavailableException? _failure;
    private IReadOnlyList<LockOp> _sent = [];
    private TimeSpan _pause = ShortestPause;
    private TimeSpan _tryAgainAt;
    private TimeSpan _brokeAt = TimeSpan.MinValue / 2;
    private TimeSpan _provedAt;
    private TimeSpan _retriedAt;
    private long _budget = long.MaxValue;
    private bool _isOpen;
    private bool _isWanted;
    private bool _idles;
    private bool _beat;

    /// <summary>Why the locks cannot be asked now; null where they can, or where nobody has asked yet.</summary>
    public JobLocksUnavailableException? Failure
    {
        get
        {
            lock (_door) return _failure;
        }
    }

    /// <summary>
    /// The process counts its locks as lost before the server can give them away: the server hears nothing for LostAfter from the last
    /// statement on, and that was sent no earlier than the last one that was answered. The rest is for the runs to stop in.
    /// </summary>
    private TimeSpan Deadline => _provedAt + _options.LostAfter - _options.LossMargin;

    /// <summary>Declares the locks lost where it is time. For a process that was frozen: its other threads may be awake before the watch.</summary>
    public void CheckClock()
    {
        // Read without the door: a session that has just proved itself is not late, and one that is late stays so.
        if (_isOpen && BootClock.Now > Deadline) Tick();
    }

    /// <summary>The session is open.</summary>
    public void Opened(LockSession session, TimeSpan provedAt, long budget)
    {
        lock (_door)
        {
            if (session != _session) return;

            _isOpen = true;
            _provedAt = provedAt;
            _budget = budget;
            _failure = null;
        }
    }

    /// <summary>Waits for something to do. Null where the session is no longer wanted.</summary>
    public SessionWork? NextWork(LockSession session)
    {
        lock (_door)
        {
            while (session == _session && !_closed)
            {
                if (_table.Orders.Count > 0 || _questions.Count > 0 || _beat) return TakeWork();

                _idles = true;
                Monitor.Wait(_door);
                _idles = false;
            }

            return null;
        }
    }

    /// <summary>The server has answered what was sent at a time.</summary>
    public void Answered(LockSession session, TimeSpan sentAt)
    {
        List<Claim> done;
        lock (_door)
        {
            if (session != _session) return;

            // An answer that comes too late proves nothing: the server may have given all away meanwhile.
            if (BootClock.Now <= Deadline)
            {
                _provedAt = sentAt;
                var sent = _sent;
                _sent = [];
                foreach (var op in sent) _table.Answered(op);
            }

            done = Send();
        }

        Complete(done);
        CheckClock();
    }

    /// <summary>A statement failed on a connection that still stands.</summary>
    public void Failed(LockSession session, Exception cause, IReadOnlySet<(LockKey Key, LockMode Mode)> held)
    {
        IReadOnlyList<JobLockHandle> missing;
        List<Claim> done;
        lock (_door)
        {
            if (session != _session) return;

            missing = _table.Compare(_sent, held, Unavailable(cause));
            _sent = [];
            done = Send();
        }

        _log.StatementFailed(_opening.Server, cause);
        Tell(missing, cause);
        Complete(done);
    }

    /// <summary>The session could not be opened, or it is gone.</summary>
    public void Broke(LockSession session, Exception cause)
    {
        IReadOnlyList<JobLockHandle> lost;
        List<Claim> done;
        List<SessionQuestion> unanswered;
        JobLocksUnavailableException? failure;
        lock (_door)
        {
            if (session != _session) return;

            // One that has worked is replaced at once, or a moment later where that one too breaks at once. One that has not is tried again
            // later, and meanwhile nobody waits for it.
            failure = _isOpen && cause is not WrongServerException ? null : Unavailable(cause);
            var mustPause = failure is not null || BootClock.Now - _brokeAt < BetweenBreaks;
            _brokeAt = BootClock.Now;
            _session = null;
            _isOpen = _idles = _beat = false;
            lost = _table.Lose(_sent, failure);
            _sent = [];
            unanswered = failure is null ? [] : Swap(ref _questions);
            _failure = failure;
            if (mustPause) Pause();
            else StartSession();
            done = Send();
            Monitor.PulseAll(_door);
        }

        if (failure is not null) _log.CannotOpen(_opening.Server, cause);
        Tell(lost, cause);
        foreach (var question in unanswered) question.Fail(failure!);
        Complete(done);
    }

    /// <summary>The server did not know of a lock that was given back: others may be gone as well.</summary>
    public void ReleaseFailed(LockOp op)
    {
        if (op.Handle is null) return;

        _log.ReleasedUnheld(op.Handle.Name, op.Key.Value);
        op.Handle.DeclareLost();
        _questions.Add(new(_session!.CompareHeld, static _ => { }));
    }

    /// <summary>Gives back all locks and closes the session.</summary>
    /// <returns>Ends when the connection is closed.</returns>
    public ValueTask DisposeAsync()
    {
        LockSession? session;
        List<Claim> done;
        IReadOnlyList<JobLockHandle> lost;
        lock (_door)
        {
            if (_closed) return default;

            _closed = true;
            session = _session;
            var failure = new ObjectDisposedException(typeof(AdvisoryLocks).FullName);
            lost = _table.Lose(_sent, failure);
            foreach (var question in Swap(ref _questions)) question.Fail(failure);
            done = _table.TakeDone();
            Monitor.PulseAll(_door);
        }

        lock (_rest) Monitor.PulseAll(_rest);
        foreach (var handle in lost) handle.DeclareLost();
        Complete(done);
        return new(Task.WhenAll(session?.Ended ?? Task.CompletedTask, _listener.DisposeAsync().AsTask()));
    }

    private static List<T> Swap<T>(ref List<T> full)
    {
        var taken = full;
        full = [];
        return taken;
    }

    private SessionWork TakeWork()
    {
        _beat = false;
        var orders = _table.TakeOrders(MostInOneStatement);
        _sent = orders;
        return new(orders, Swap(ref _questions));
    }

    private void EnsureSession()
    {
        ObjectDisposedException.ThrowIf(_closed, typeof(AdvisoryLocks));
        if (_failure is not null) throw new JobLocksUnavailableException(_failure.Message, _failure.InnerException) { NeedsChange = _failure.NeedsChange };

        _isWanted = true;
        if (_session is null && BootClock.Now >= _tryAgainAt) StartSession();
    }

    private void StartSession()
    {
        _session = new(this, _opening);
        _session.Start();
        _watch ??= SessionThread.Start("JobLocks watch", Watch);
    }

    private void Pause()
    {
        // Not all processes at once, when a server comes back that all of them have lost.
        _tryAgainAt = BootClock.Now + (_pause * (0.5 + Random.Shared.NextDouble()));
        _pause = _pause * 2 < LongestPause ? _pause * 2 : LongestPause;
    }

    private JobLocksUnavailableException Unavailable(Exception cause) => ServerTrouble.Describe(_opening.Server, cause);

    private void Tell(IReadOnlyList<JobLockHandle> lost, Exception cause)
    {
        if (lost.Count == 0) return;

        foreach (var handle in lost) handle.DeclareLost(cause);
        _log.Broke(lost.Count, cause);
    }
}
