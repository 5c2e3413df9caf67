using JobLocks.Diagnostics;
using JobLocks.Locks;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;

namespace JobLocks.Postgres.Locks;

/// <content>The sessions, one after the other: how one is opened, proves itself, is lost, and is followed by the next.</content>
internal sealed partial class LockDispatcher
{
    private const int MostFormerBackends = 16;

    private static readonly TimeSpan ShortestReopenDelay = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan BetweenBreaks = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan LongestReopenDelay = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan BetweenRetries = TimeSpan.FromSeconds(1);

    private readonly ReleaseListener _listener;

    // Sessions of this process that are gone for us, but perhaps not yet for the server.
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

    /// <summary>The server has answered what was sent at a time.</summary>
    public void Answered(LockSession session, TimeSpan sentAt, long token)
    {
        List<AcquireRequest> done;
        InvalidOperationException? interference;
        lock (_sync)
        {
            if (session != _session || _closed) return;

            // An answer that comes too late proves nothing: the server may have given all away meanwhile.
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

    /// <summary>The server has answered something else that was sent at a time: on a slow network, several questions take as long as a heartbeat may.</summary>
    public void Proved(LockSession session, TimeSpan sentAt)
    {
        lock (_sync)
        {
            if (session == _session && !_closed && sentAt > _provedAt && BootClock.Now <= Deadline) _provedAt = sentAt;
        }
    }

    /// <summary>A statement failed on a connection that still stands.</summary>
    /// <param name="session">Whose.</param>
    /// <param name="cause">Why.</param>
    /// <param name="held">What the session has.</param>
    /// <param name="retriesOnce">Whether what it asked for is asked for once more.</param>
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
        if (missing) SessionBroke(session, new InvalidOperationException("the session does not have all that it was granted: somebody has released its locks from outside"));
    }

    /// <summary>The session could not be opened, or it is gone.</summary>
    public void SessionBroke(LockSession session, Exception cause)
    {
        IReadOnlyList<LockGrant> lost;
        List<AcquireRequest> done;
        List<SessionQuestion> unanswered;
        JobLocksUnavailableException? failure;
        lock (_sync)
        {
            if (session != _session || _closed) return;

            // One that has worked is replaced at once, or a moment later where that one too breaks at once. One that has not is tried again
            // later, and meanwhile nobody waits for it.
            failure = _isOpen && cause is not WrongServerException ? null : Unavailable(cause);
            var mustPause = failure is not null || BootClock.Now - _brokeAt < BetweenBreaks;
            _brokeAt = BootClock.Now;
            _session = null;
            _isOpen = _heartbeatIsDue = false;
            _formerBackends.Enqueue(session.Backend);
            if (_formerBackends.Count > MostFormerBackends) _formerBackends.Dequeue();
            lost = _table.Lose(_sent, failure);
            _sent = [];
            // The runs are told while the connection still stands, and with it what it holds.
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

    /// <summary>The server did not know of a lock that was given back: others are gone as well, and nothing of this session is believed any more.</summary>
    public void ReleaseFailed(LockOperation op)
    {
        if (op.Grant is null) return;

        op.Grant.DeclareLost();
        _interference = new($"the lock {op.Grant} ({op.Key}) was given back, but the session did not have it: somebody has released its locks from outside");
    }

    /// <summary>The server's process behind the open session; null while there is none.</summary>
    public int? CurrentBackend
    {
        get
        {
            lock (_sync) return _isOpen ? _session?.Backend : null;
        }
    }

    /// <summary>Whether a backend is the session of this process.</summary>
    public bool IsCurrent(int backend)
    {
        lock (_sync) return _session?.Backend == backend;
    }

    /// <summary>Whether a backend was a session of this process that is lost. It may hold its locks until the server gives it up.</summary>
    public bool IsFormerBackend(int backend)
    {
        lock (_sync) return _formerBackends.Contains(backend);
    }

    /// <summary>Whether it was disposed.</summary>
    public bool IsClosed
    {
        get
        {
            lock (_sync) return _closed;
        }
    }

    /// <summary>Gives back all locks and closes the session.</summary>
    /// <returns>Ends when the connection is closed.</returns>
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
            // The machine has no thread left for us: later, perhaps.
            _session = null;
            _failure = Unavailable(noThread);
            DelayReopening();
        }
    }

    private void DelayReopening()
    {
        // Not all processes at once, when a server comes back that all of them have lost.
        _tryAgainAt = BootClock.Now + (_reopenDelay * (0.5 + Random.Shared.NextDouble()));
        _reopenDelay = _reopenDelay * 2 < LongestReopenDelay ? _reopenDelay * 2 : LongestReopenDelay;
    }

    private JobLocksUnavailableException Unavailable(Exception cause) => ServerTrouble.Describe(_connector.Server, cause);
}
