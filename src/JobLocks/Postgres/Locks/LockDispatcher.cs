using System.Diagnostics;
using System.Diagnostics.Metrics;
using JobLocks.Diagnostics;
using JobLocks.Locks;
using JobLocks.Postgres.Session;
using JobLocks.Postgres.WaitQueue;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;

namespace JobLocks.Postgres.Locks;

/// <summary>
/// Where all threads of a process put what they want, and from where the one session takes it: whatever is there when it is free goes in one
/// round trip. No member waits for the server, and none needs the thread pool. Thread-safe.
/// </summary>
internal sealed partial class LockDispatcher : ILockOwner, IAsyncDisposable
{
    // More in one statement would make the first of them wait for the last.
    private const int MostInOneStatement = 1000;

    private readonly object _sync = new();
    private readonly LocalLockTable _table;
    private readonly SessionConnector _connector;
    private readonly JobLocksOptions _options;
    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly DeclaredLimits _limits;
    private readonly LogThrottle _notificationLogThrottle = new();
    private List<SessionQuestion> _questions = [];
    private bool _closed;

    public LockDispatcher(SessionConnector connector, JobLocksOptions options, TimeProvider clock, ILogger log, IMeterFactory? meters = null)
    {
        _table = new(this);
        Meter = new(meters, () => _table.Count, () => _isOpen, options.NamesInTelemetry);
        _connector = connector;
        _options = options;
        _clock = clock;
        _log = log;
        _listener = new(connector, this, log);
        _limits = new(options, log);
    }

    /// <summary>Where the locks are, without secrets.</summary>
    public string Server => _connector.Server;

    public DateTimeOffset UtcNow => _clock.GetUtcNow();

    /// <summary>Whether runs may stand in the line; null before the first session is open.</summary>
    public bool? HasWaitQueue { get; private set; }

    /// <summary>Whether runs cannot stand in the line for now only, since somebody has its table to himself.</summary>
    public bool IsWaitQueueSuspended { get; private set; }

    /// <summary>Runs cannot stand in the line any more: it is gone, or no longer ours to use.</summary>
    public void DisableWaitQueue() => HasWaitQueue = IsWaitQueueSuspended = false;

    /// <summary>What there is of our schema has changed.</summary>
    public void ReadCapabilities(SessionConnection session)
    {
        HasWaitQueue = session.HasWaitQueue;
        HasReadModel = session.HasReadModel;
        HasLimits = session.HasLimits;
        HasFence = session.HasFence;
    }

    /// <summary>Runs cannot stand in the line for now.</summary>
    public void SuspendWaitQueue()
    {
        HasWaitQueue = false;
        IsWaitQueueSuspended = true;
        _log.LineIsLocked(_options.Schema!);
    }

    /// <summary>Runs can stand in the line again.</summary>
    public void ResumeWaitQueue()
    {
        IsWaitQueueSuspended = false;
        HasWaitQueue = true;
        _log.LineIsBack(_options.Schema!);
    }

    /// <summary>Other processes cannot be told what is released here.</summary>
    public void NotificationsFailed(Exception cause)
    {
        if (_notificationLogThrottle.IsTime()) _log.CannotTell(_connector.Server, LogThrottle.Pause.TotalSeconds, cause);
    }

    /// <summary>How many locks of the server's table this process may need; without limit before a session was open.</summary>
    public long Budget { get; private set; } = long.MaxValue;

    /// <summary>Whether it can be written down who holds what.</summary>
    public bool HasReadModel { get; private set; }

    /// <summary>Whether the limits that processes declare can be compared.</summary>
    public bool HasLimits { get; private set; }

    /// <summary>Whether grants have fencing tokens.</summary>
    public bool HasFence { get; private set; }

    /// <summary>Counts what is held and let go.</summary>
    public StatisticsCounter Ledger { get; } = new();

    /// <summary>What is measured.</summary>
    public LockMeter Meter { get; }

    /// <summary>Told that a session is open. Must not wait for anything.</summary>
    public Action OnOpened { get; init; } = static () => { };

    /// <summary>Told of the keys in whose lines somebody stands whose turn comes now. Must not wait for anything.</summary>
    public Action<IReadOnlyList<FreeKey>> OnWaitersCanRun { get; init; } = static _ => { };

    /// <summary>Told what other processes say about the line, and by which backend.</summary>
    public Action<string, int> OnNotification { get; init; } = static (_, _) => { };

    /// <summary>Set by the table when somebody waits for a lock of another process.</summary>
    public bool NeedsListener { get; set; }

    /// <summary>Asks for all of some locks, or none.</summary>
    /// <param name="requests">By key, each once.</param>
    /// <param name="holder">Whom to name.</param>
    /// <param name="waits">Whether it stands in line instead of being refused.</param>
    /// <param name="before">Who of those who stand in the line goes first, see <see cref="QueuePrecedence"/>.</param>
    /// <param name="comesFor">The lock for which its turn has come; null for none.</param>
    /// <param name="stack">Where the caller asks; null where that is not captured.</param>
    /// <param name="mayBlock">Whether the caller may do the session's work: not one who waits, since that cannot be cut short.</param>
    /// <exception cref="JobLocksUnavailableException">The server cannot be asked. Nothing was taken.</exception>
    /// <exception cref="ObjectDisposedException">The locks were disposed.</exception>
    public AcquireRequest Enter(IReadOnlyList<LockRequest> requests, Holder holder, bool waits, long before, LockKey? comesFor, StackTrace? stack, bool mayBlock)
    {
        var request = new AcquireRequest(requests, holder, waits) { Precedence = before, WokenFor = comesFor, Stack = stack };
        List<AcquireRequest> done;
        SessionWork? work;
        LockSession? session;
        lock (_sync)
        {
            EnsureSession();
            if (!_table.HasRoomFor(request, Budget)) throw TooManyLocks(_table.Weight, _table.WeightOf(request));

            _table.Enter(request);
            session = _session;
            work = mayBlock && request.IsPending ? TakeWorkOnCallerThread() : null;
            done = WakeSessionAndTakeDone();
        }

        Complete(done);
        if (work is not null) session!.Execute(work);
        return request;
    }

    /// <summary>The caller has gone: what it was or will be granted is given back.</summary>
    public void Abandon(AcquireRequest request) => Change(static (table, request) => table.Abandon(request), request);

    /// <summary>Gives a lock back. The server is told by and by, but before anything that is asked after this.</summary>
    public void Release(LockGrant grant)
    {
        Change(static (table, grant) => table.Release(grant), grant);
        var held = UtcNow - grant.Since;
        Ledger.Ran(grant.Line, grant.Name, held);
        Meter.Held(new(grant.Template, grant.Name), held);
    }

    /// <summary>Somebody in another process has let go of a key, or may have.</summary>
    public void Retry(LockKey key) => Change(static (table, key) => table.Retry(key), key);

    /// <summary>Asks once more for all that is waited for.</summary>
    public void RetryAll() => Change(static (table, _) => table.RetryAll(), 0);

    /// <summary>Somebody stands in the lines of these keys, and their turn comes now.</summary>
    public void WaitersCanRun(IReadOnlyList<FreeKey> keys)
    {
        lock (_sync) _waitersCouldRunAt = BootClock.Now;
        OnWaitersCanRun(keys);
    }

    /// <summary>Listens to other processes for a while.</summary>
    public void Listen()
    {
        lock (_sync)
        {
            if (!_closed) _listener.Start();
        }
    }

    /// <summary>Asks the server a question of another kind, after all that was asked before.</summary>
    /// <returns>The answer. A thread may block on it: no other thread is needed to complete it.</returns>
    /// <exception cref="JobLocksUnavailableException">The server cannot be asked.</exception>
    /// <exception cref="ObjectDisposedException">The locks were disposed.</exception>
    public Task<T> AskAsync<T>(Func<SessionConnection, T> ask)
    {
        var answer = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        List<AcquireRequest> done;
        lock (_sync)
        {
            EnsureSession();
            _questions.Add(new(session => answer.TrySetResult(ask(session)), failure => answer.TrySetException(failure)));
            done = WakeSessionAndTakeDone();
        }

        Complete(done);
        return answer.Task;
    }

    /// <summary>What the session holds since a time or longer.</summary>
    public List<LockGrant> HeldSince(DateTimeOffset since)
    {
        lock (_sync) return _table.HeldSince(since);
    }

    /// <summary>Who in this process has one of these keys.</summary>
    public Holder? FindHolder(IEnumerable<LockKey> keys)
    {
        lock (_sync) return _table.FindHolder(keys);
    }

    /// <summary>A slot of a name was granted. Whether other processes say the same number is looked up off the run's path.</summary>
    public void NoteLimit(LockRequest request)
    {
        if (!HasLimits || !_limits.IsNew(request)) return;

        _questions.Add(new(session => _limits.Compare(session, request), _ => { lock (_sync) _limits.Failed(request); }));
    }

    /// <summary>A reader has let go of what others here still share.</summary>
    public void DeleteReadModelRow(LockOperation release) => _questions.Add(new(session => session.DeleteReadModelRows([release]), static _ => { }));

    /// <summary>The share of this process is used up.</summary>
    /// <param name="needed">How many locks of the server's table it needs without the request that is refused.</param>
    /// <param name="more">How many that request needs.</param>
    public JobLocksUnavailableException TooManyLocks(int needed, int more) => new(
        $"This process needs {needed} locks of the lock table of PostgreSQL at {_connector.Server}, and {more} more for this request. Its share is {Budget}, "
        + "a quarter of that table: a full one would keep every client from connecting. Raise max_locks_per_transaction there, or hold and wait for fewer keys at once.");

    private static void Complete(List<AcquireRequest> done)
    {
        foreach (var request in done) request.Complete();
    }

    private void Change<T>(Action<LocalLockTable, T> change, T argument)
    {
        List<AcquireRequest> done;
        lock (_sync)
        {
            change(_table, argument);
            done = WakeSessionAndTakeDone();
        }

        Complete(done);
    }

    /// <summary>Wakes the session where there is something for it.</summary>
    private List<AcquireRequest> WakeSessionAndTakeDone()
    {
        if (_session is { IsIdle: true, IsBusy: false } && HasUrgentWork) Monitor.PulseAll(_sync);
        if (NeedsListener && !_closed) _listener.Start();
        NeedsListener = false;
        return _table.TakeDone();
    }
}
