using JobLocks.Diagnostics;
using JobLocks.Locks;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;

namespace JobLocks.Postgres.Locks;

/// <content>The sessions of this process, one at a time: how a session opens, proves that it is alive, is lost, and is replaced.</content>
internal sealed partial class LockDispatcher
{
    private const int MostFormerBackends = 16;

    private static readonly TimeSpan ShortestReopenDelay = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan BetweenBreaks = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan LongestReopenDelay = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan BetweenRetries = TimeSpan.FromSeconds(1);

    private readonly ReleaseListener _listener;

    // Backends of lost sessions. The server may not have noticed the loss yet.
    private readonly Queue<int> _formerBackends = new();
    private LockSession? _session;
    private Thread? _watchThread;
    private JobLocksUnavailableException? _failure;
    private IReadOnlyList<LockOperation> _sent = [];
    private TimeSpan _reopenDelay = ShortestReopenDelay;
    private TimeSpan _tryAgainAt;
    private TimeSpan _brokeAt = TimeSpan.MinValue / 2;
    private TimeSpan _provedAt;
    private TimeSpan _retriedAt;
    private bool _isOpen;
    private bool _isWanted;
    private InvalidOperationException? _interference;
    private bool _heartbeatIsDue;

    /// <summary>
    /// The time at which the process counts its locks as lost, which is before the server can grant them to others. The server frees a session that
    /// is silent for LostAfter, counted from the last statement. That statement was sent no earlier than the last one that was answered. LossMargin
    /// is the time for the runs to stop.
    /// </summary>
    private TimeSpan Deadline => _provedAt + _options.LostAfter - _options.LossMargin;

    /// <summary>
    /// Declares the locks lost if the deadline has passed. In a process that was frozen, other threads can run before the watch thread.
    /// </summary>
    public void CheckClock()
    {
        // Read without the mutex. A session that has just proved itself is not late, and a late one stays late.
        if (_isOpen && BootClock.Now > Deadline) Tick();
    }

    /// <summary>The session is open.</summary>
    public void Opened(LockSession session, SessionConnection opened)
    {
        List<AcquireRequest> done;
        lock (_sync)
        {
            if (session != _session || _closed) return;

            _isOpen = true;
            _provedAt = opened.ProvedAt;
            Budget = opened.Budget;
            HasWaitQueue = opened.HasWaitQueue;
            IsWaitQueueSuspended = opened.IsWaitQueueSuspended;
            HasReadModel = opened.HasReadModel;
            HasLimits = opened.HasLimits;
            HasFence = opened.HasFence;
            _failure = null;
            if (_table.Weight is var needed && needed > Budget) _table.TrimTo(Budget, TooManyLocks(needed, more: 0));
            done = WakeSessionAndTakeDone();
        }

        Complete(done);
        if (IsWaitQueueSuspended) _log.LineIsLocked(_options.Schema!);
        Meter.Begin();
        OnOpened();
    }

    /// <summary>The server answered the statement that was sent at a time.</summary>
    public void Answered(LockSession session, TimeSpan sentAt, long token)
    {
        List<AcquireRequest> done;
        InvalidOperationException? interference;
        lock (_sync)
        {
            if (session != _session || _closed) return;

            // A late answer proves nothing: the server may have granted the locks to others meanwhile.
            if (BootClock.Now <= Deadline)
            {
                _provedAt = sentAt;
                foreach (var op in _sent) _table.Answered(op, token);
                _sent = [];
            }

            done = WakeSessionAndTakeDone();
            (interference, _interference) = (_interference, null);
        }

        Complete(done);
        if (interference is null) CheckClock();
        else SessionBroke(session, interference);
    }

    /// <summary>
    /// The server answered another statement, sent at a time. On a slow network, several statements can take longer than the interval of the
    /// heartbeat.
    /// </summary>
    public void Proved(LockSession session, TimeSpan sentAt)
    {
        lock (_sync)
        {
            if (session == _session && !_closed && sentAt > _provedAt && BootClock.Now <= Deadline) _provedAt = sentAt;
        }
    }

    /// <summary>A statement failed, but the connection is still open.</summary>
    /// <param name="session">The session of the statement.</param>
    /// <param name="cause">The error.</param>
    /// <param name="held">The keys that the session holds, with their modes.</param>
    /// <param name="retriesOnce">Whether unanswered requests are sent once more before they fail.</param>
    public void Failed(LockSession session, Exception cause, IReadOnlySet<(LockKey Key, LockMode Mode)> held, bool retriesOnce)
    {
        bool missing;
        List<AcquireRequest> done;
        lock (_sync)
        {
            if (session != _session || _closed) return;

            missing = _table.Compare(_sent, held, Unavailable(cause), retriesOnce);
            _sent = [];
            done = WakeSessionAndTakeDone();
        }

        Complete(done);
        if (!retriesOnce) _log.StatementFailed(_connector.Server, cause);
        if (missing) SessionBroke(session, new InvalidOperationException("the session does not have all that it was granted: its locks were released from outside"));
    }

    /// <summary>The session could not be opened, or it is lost.</summary>
    public void SessionBroke(LockSession session, Exception cause)
    {
        IReadOnlyList<LockGrant> lost;
        List<AcquireRequest> done;
        List<SessionQuestion> unanswered;
        JobLocksUnavailableException? failure;
        lock (_sync)
        {
            if (session != _session || _closed) return;

            // A session that was open is replaced at once, or after a delay if the previous one broke a moment ago. A session that never opened, or
            // that a wrong server answered, is replaced after a delay, and requests fail meanwhile instead of waiting for it.
            failure = _isOpen && cause is not WrongServerException ? null : Unavailable(cause);
            var mustPause = failure is not null || BootClock.Now - _brokeAt < BetweenBreaks;
            _brokeAt = BootClock.Now;
            _session = null;
            _isOpen = _heartbeatIsDue = false;
            _formerBackends.Enqueue(session.Backend);
            if (_formerBackends.Count > MostFormerBackends) _formerBackends.Dequeue();
            lost = _table.Lose(_sent, failure);
            _sent = [];
            // The runs are notified while the connection is still open and still holds their locks.
            foreach (var grant in lost) grant.DeclareLost(cause);
            unanswered = failure is null ? [] : TakeAll(ref _questions);
            _failure = failure;
            if (mustPause) DelayReopening();
            else StartSession();
            done = WakeSessionAndTakeDone();
            Monitor.PulseAll(_sync);
        }

        foreach (var question in unanswered) question.Fail(failure!);
        Complete(done);
        if (failure is not null) _log.CannotOpen(_connector.Server, cause);
        if (lost.Count == 0) return;

        Meter.Lost(lost.Count);
        _log.Broke(lost.Count, cause);
    }

    /// <summary>
    /// The server did not hold a lock that was released. Other locks may be missing as well, so the whole session counts as broken after this answer.
    /// </summary>
    public void ReleaseFailed(LockOperation op)
    {
        if (op.Grant is null) return;

        op.Grant.DeclareLost();
        _interference = new($"the lock {op.Grant} ({op.Key}) was released, but the session did not have it: its locks were released from outside");
    }

    /// <summary>The process ID of the server's backend behind the open session; null if no session is open.</summary>
    public int? CurrentBackend
    {
        get
        {
            lock (_sync) return _isOpen ? _session?.Backend : null;
        }
    }

    /// <summary>Whether a backend is the current session of this process.</summary>
    public bool IsCurrent(int backend)
    {
        lock (_sync) return _session?.Backend == backend;
    }

    /// <summary>Whether a backend is a lost session of this process. It may hold its locks until the server closes it.</summary>
    public bool IsFormerBackend(int backend)
    {
        lock (_sync) return _formerBackends.Contains(backend);
    }

    /// <summary>Whether the dispatcher was disposed.</summary>
    public bool IsClosed
    {
        get
        {
            lock (_sync) return _closed;
        }
    }

    /// <summary>Releases all locks and closes the session.</summary>
    /// <returns>Completes when the connection is closed.</returns>
    public ValueTask DisposeAsync()
    {
        LockSession? session;
        List<AcquireRequest> done;
        lock (_sync)
        {
            if (_closed) return default;

            _closed = true;
            session = _session;
            var failure = new ObjectDisposedException(typeof(AdvisoryLocks).FullName);
            foreach (var grant in _table.Lose(_sent, failure)) grant.DeclareLost();
            _sent = [];
            foreach (var question in TakeAll(ref _questions)) question.Fail(failure);
            done = _table.TakeDone();
            Monitor.PulseAll(_sync);
        }

        lock (_watchSync) Monitor.PulseAll(_watchSync);
        Complete(done);
        Meter.Dispose();
        return new(Task.WhenAll(session?.Ended ?? Task.CompletedTask, _listener.DisposeAsync().AsTask()));
    }

    private static List<T> TakeAll<T>(ref List<T> full)
    {
        var taken = full;
        full = [];
        return taken;
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
        _watchThread ??= SessionThread.Start("JobLocks watch", Watch);
        _session = new(this, _connector, new(_options.OpensWithin));
        try
        {
            _session.Start();
        }
        catch (Exception noThread) when (noThread is OutOfMemoryException or ThreadStartException)
        {
            // The operating system cannot start a thread now. It is tried again later.
            _session = null;
            _failure = Unavailable(noThread);
            DelayReopening();
        }
    }

    private void DelayReopening()
    {
        // A random delay: when a server restarts, the processes do not all connect at the same moment.
        _tryAgainAt = BootClock.Now + (_reopenDelay * (0.5 + Random.Shared.NextDouble()));
        _reopenDelay = _reopenDelay * 2 < LongestReopenDelay ? _reopenDelay * 2 : LongestReopenDelay;
    }

    private JobLocksUnavailableException Unavailable(Exception cause) => ServerTrouble.Describe(_connector.Server, cause);
}
