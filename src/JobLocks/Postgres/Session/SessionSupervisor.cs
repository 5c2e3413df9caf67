using JobLocks.Diagnostics;
using JobLocks.Locks;
using JobLocks.Postgres.Locks;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;

namespace JobLocks.Postgres.Session;

/// <summary>
/// The sessions of this process, one at a time: how a session opens, proves that it is alive, is lost, and is replaced. A session reports its
/// opening and its loss to this object, and gets its work from <see cref="SessionExchange"/>. A report of a session that was replaced has no effect. Thread-safe;
/// members that demand the mutex say so.
/// </summary>
/// <param name="mutex">Guards the local lock table, the work and the fields of this object.</param>
/// <param name="table">The locks of this process.</param>
/// <param name="work">The work for the sessions.</param>
/// <param name="listener">Receives the releases of other processes.</param>
/// <param name="connector">Opens connections.</param>
/// <param name="events">The events for the owner of the locks.</param>
/// <param name="options">The options of the process.</param>
/// <param name="log">The log.</param>
/// <param name="onTick">More work for the watch thread, which the jobs of the users cannot delay.</param>
internal sealed class SessionSupervisor(
    StateMutex mutex, LocalLockTable table, SessionWorkQueue work, ReleaseListener listener, SessionConnector connector,
    LockEvents events, JobLocksOptions options, ILogger log, Action onTick)
{
    private static readonly TimeSpan BetweenTicks = TimeSpan.FromMilliseconds(25);

    private readonly ReopenSchedule _reopening = new();
    private readonly LateSessions _lateSessions = new();
    private readonly FormerBackends _formerBackends = new();
    // Written under the mutex. Also read without it, where an outdated value does no harm.
    private volatile LockSession? _session;
    private volatile SessionCapabilities _lastCapabilities = SessionCapabilities.Unknown;
    private RepeatingThread? _watch;
    private SessionExchange? _exchange;
    private JobLocksUnavailableException? _failure;
    private bool _isWanted;
    private bool _isClosed;

    /// <summary>The metrics of the process.</summary>
    public required LockMeter Meter { get; init; }

    /// <summary>What the current session can use; of the last session, while none is open.</summary>
    public SessionCapabilities Capabilities => _session?.Capabilities ?? _lastCapabilities;

    /// <summary>The server and database, without secrets.</summary>
    public string Server => connector.Server;

    /// <summary>The process ID of the server's backend behind the open session; null if no session is open.</summary>
    public int? Backend => _session is { IsOpen: true } open ? open.Backend : null;

    /// <summary>The current session, open or not; null if there is none. Demands the mutex.</summary>
    public LockSession? Current => _session;

    /// <summary>Whether the locks were disposed.</summary>
    public bool IsClosed
    {
        get
        {
            lock (mutex) return _isClosed;
        }
    }

    /// <summary>Whether a session is the current one, and the locks are not disposed. Demands the mutex.</summary>
    public bool IsCurrent(LockSession session)
    {
        mutex.AssertHeld();
        return session == _session && !_isClosed;
    }

    /// <summary>Whether a backend is the current session of this process.</summary>
    public bool IsCurrent(int backend) => _session?.Backend == backend;

    /// <summary>Reads anew which parts of the schema the current session can use. Called by the thread that uses its connection.</summary>
    public void ReadCapabilities(SessionConnection connection)
    {
        if (_session is { } session && session.Backend == connection.Backend) session.ReadCapabilities(connection);
    }

    /// <summary>Whether a backend is a lost session of this process. It may hold its locks until the server closes it.</summary>
    public bool IsFormer(int backend)
    {
        lock (mutex) return _formerBackends.Contains(backend);
    }

    /// <summary>Starts a session if there is none. Demands the mutex.</summary>
    /// <exception cref="JobLocksUnavailableException">The last session could not be opened, and no other one is open yet.</exception>
    /// <exception cref="ObjectDisposedException">The locks were disposed.</exception>
    public void EnsureSession()
    {
        mutex.AssertHeld();
        ObjectDisposedException.ThrowIf(_isClosed, typeof(AdvisoryLocks));
        if (_failure is not null) throw new JobLocksUnavailableException(_failure.Message, _failure.InnerException) { NeedsChange = _failure.NeedsChange };

        _isWanted = true;
        if (_session is null && _reopening.IsTime) StartSession();
    }

    /// <summary>
    /// Handles the output of a change of the local lock table, and wakes the session thread if there is urgent work. Demands the mutex, and is called at the
    /// end of each change.
    /// </summary>
    /// <returns>The answered requests. They are completed outside of the mutex.</returns>
    public List<AcquireRequest> HandleTableOutput()
    {
        mutex.AssertHeld();
        work.AddFollowUps(Capabilities.HasLimits);
        if (_session is { IsIdle: true, IsBusy: false } idle && work.HasUrgentWork(idle)) mutex.SignalChange();
        if (table.Output.NeedsListener && !_isClosed) listener.Start();
        table.Output.NeedsListener = false;
        return table.Output.TakeDone();
    }

    /// <summary>
    /// The time at which the process counts its locks as lost. The server ends a session that is silent for LostAfter. Its silence begins with the last
    /// statement that it received, so not before ProvedAt, the time of the last statement with an answer. The runs have LossMargin to stop.
    /// </summary>
    public TimeSpan DeadlineOf(LockSession session) => session.ProvedAt + options.LostAfter - options.LossMargin;

    /// <summary>The error for callers whose request the server cannot answer.</summary>
    public JobLocksUnavailableException Unavailable(Exception cause) => ServerTrouble.Describe(connector.Server, cause);

    /// <summary>
    /// Declares the locks lost if the deadline has passed. In a process that was frozen, other threads can run before the watch thread.
    /// </summary>
    public void CheckClock()
    {
        // Read without the mutex. A session that has just proved itself is not late, and a late one stays late.
        if (_session is { IsOpen: true } open && BootClock.Now > DeadlineOf(open)) Tick();
    }

    /// <summary>The session is open.</summary>
    public void Opened(LockSession session, SessionConnection opened)
    {
        List<AcquireRequest> done;
        lock (mutex)
        {
            if (!IsCurrent(session)) return;

            session.ProvedAt = opened.ProvedAt;
            session.IsOpen = true;
            session.ReadCapabilities(opened);
            _failure = null;
            table.Share.Budget = opened.Share;
            if (table.Share.IsExceeded) table.Recovery.TrimToBudget(table.Share.Exceeded());
            done = HandleTableOutput();
        }

        AcquireRequest.CompleteAll(done);
        if (opened.IsWaitQueueSuspended) log.WaitQueueIsLocked(options.Schema!);
        Meter.Begin();
        events.OnOpened();
    }

    /// <summary>The session could not be opened, or it is lost.</summary>
    public void Broke(LockSession session, Exception cause)
    {
        IReadOnlyList<LockGrant> lost;
        List<AcquireRequest> done;
        List<SessionQuery> unanswered;
        JobLocksUnavailableException? failure;
        lock (mutex)
        {
            if (!IsCurrent(session)) return;

            // A session that was open is replaced at once, or after a delay if the previous one broke a moment ago. A session that never opened, or
            // that a wrong server answered, is replaced after a delay, and requests fail meanwhile instead of waiting for it.
            failure = session.IsOpen && cause is not UnusableServerException ? null : Unavailable(cause);
            var mustPause = _reopening.Broke() || failure is not null;
            _lastCapabilities = Capabilities;
            _session = null;
            work.ForgetHeartbeat();
            _formerBackends.Add(session.Backend);
            lost = table.Recovery.Lose(session.TakeSent(), failure);
            // The runs are notified while the connection is still open and still holds their locks.
            foreach (var grant in lost) grant.DeclareLost(cause);
            unanswered = failure is null ? [] : work.TakeQueries();
            _failure = failure;
            if (mustPause) _reopening.Delay();
            else StartSession();
            done = HandleTableOutput();
            mutex.SignalChange();
        }

        foreach (var query in unanswered) query.Fail(failure!);
        AcquireRequest.CompleteAll(done);
        if (failure is not null) log.CannotOpen(connector.Server, cause);
        if (lost.Count == 0) return;

        Meter.Lost(lost.Count);
        log.Broke(lost.Count, cause);
    }

    /// <summary>Fails all requests, declares all locks lost, and closes the session.</summary>
    /// <returns>Completes when the connection is closed.</returns>
    public Task CloseAsync()
    {
        LockSession? session;
        List<AcquireRequest> done;
        lock (mutex)
        {
            if (_isClosed) return Task.CompletedTask;

            _isClosed = true;
            session = _session;
            var failure = new ObjectDisposedException(typeof(AdvisoryLocks).FullName);
            foreach (var grant in table.Recovery.Lose(session?.TakeSent() ?? [], failure)) grant.DeclareLost();
            foreach (var query in work.TakeQueries()) query.Fail(failure);
            done = table.Output.TakeDone();
            mutex.SignalChange();
        }

        _watch?.Stop();
        AcquireRequest.CompleteAll(done);
        return session?.Ended ?? Task.CompletedTask;
    }

    private void StartSession()
    {
        _watch ??= new("JobLocks watch", BetweenTicks, () => { Tick(); onTick(); }, CloseLateSessions);
        _watch.Start(atOnce: false);
        _exchange ??= new(mutex, table, work, this, events, log);
        var session = new LockSession(this, _exchange, connector, new(options.OpeningSilenceTimeout), options.Schema, log);
        _session = session;
        try
        {
            session.Start();
        }
        catch (Exception noThread) when (noThread is OutOfMemoryException or ThreadStartException)
        {
            // The operating system cannot start a thread now. It is tried again later.
            _session = null;
            _failure = Unavailable(noThread);
            _reopening.Delay();
        }
    }

    private void Tick()
    {
        LockSession? late = null;
        LockSession? hanging = null;
        List<AcquireRequest> done = [];
        lock (mutex)
        {
            if (_isClosed) return;

            var now = BootClock.Now;
            _lateSessions.CloseExpired(now);
            if (_session is not { } session)
            {
                if (_isWanted && _reopening.IsTime) StartSession();
            }
            else if (!session.IsOpen)
            {
                if (session.IsOpeningTooLong) hanging = session;
            }
            else if (now > DeadlineOf(session))
            {
                late = session;
                _lateSessions.KeepOpen(session, DeadlineOf(session) + options.LossMargin);
            }
            else
            {
                done = CheckOpenSession(session, now);
            }
        }

        if (hanging is not null)
        {
            Broke(hanging, new TimeoutException($"The server did not answer for {options.OpeningSilenceTimeout.TotalSeconds:0.#} s while a session was being opened"));
            hanging.CloseNow();
        }

        if (late is not null) Broke(late, new TimeoutException($"The server has not answered for {(options.LostAfter - options.LossMargin).TotalSeconds:0.#} s."));
        AcquireRequest.CompleteAll(done);
    }

    private List<AcquireRequest> CheckOpenSession(LockSession session, TimeSpan now)
    {
        _reopening.Reset();
        table.Waiters.RetryDeferred(now);
        if (table.Waiters.RetryAllIfDue(now)) listener.StopIfIdle(table.Waiters.AnyWaitsForOtherProcess);

        // An idle connection does not show by itself that it is broken. A busy one shows it as soon as its statement fails.
        if (session.IsIdle && (now - session.ProvedAt >= options.HeartbeatInterval || session.HasDataOrIsClosed()))
        {
            work.RequestHeartbeat();
            mutex.SignalChange();
        }

        return HandleTableOutput();
    }

    private void CloseLateSessions()
    {
        lock (mutex) _lateSessions.CloseExpired(TimeSpan.MaxValue);
    }
}
