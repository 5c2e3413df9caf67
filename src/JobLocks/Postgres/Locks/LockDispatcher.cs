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
/// Collects the operations of all threads and sends them over the one session of this process. All operations that are noted while the session is
/// busy are sent in one round trip. Only <see cref="Enter"/> can wait for the server, when the caller does the work of the session. No member needs
/// the thread pool. Thread-safe.
/// </summary>
internal sealed partial class LockDispatcher : ILockOwner, IAsyncDisposable
{
    // With more operations in one statement, the first of them would wait too long for the last.
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

    /// <summary>The server and database, without secrets.</summary>
    public string Server => _connector.Server;

    public DateTimeOffset UtcNow => _clock.GetUtcNow();

    /// <summary>Whether runs can enter the wait queue; null before the first session is open.</summary>
    public bool? HasWaitQueue { get; private set; }

    /// <summary>Whether the wait queue is unusable only for now, because another session locks its table exclusively.</summary>
    public bool IsWaitQueueSuspended { get; private set; }

    /// <summary>Runs cannot enter the wait queue any more: its table was dropped, or this role may no longer use it.</summary>
    public void DisableWaitQueue(LockSession session) => SetWaitQueue(session, isUsable: false, isSuspended: false);

    /// <summary>Runs cannot enter the wait queue for now, because another session locks its table exclusively.</summary>
    public void SuspendWaitQueue(LockSession session)
    {
        if (SetWaitQueue(session, isUsable: false, isSuspended: true)) _log.LineIsLocked(_options.Schema!);
    }

    /// <summary>Runs can enter the wait queue again.</summary>
    public void ResumeWaitQueue(LockSession session)
    {
        if (SetWaitQueue(session, isUsable: true, isSuspended: false)) _log.LineIsBack(_options.Schema!);
    }

    /// <summary>Reads which parts of the schema the session can use. Called after they changed.</summary>
    public void ReadCapabilities(SessionConnection connection)
    {
        lock (_sync)
        {
            if (_session?.Backend != connection.Backend) return;

            HasWaitQueue = connection.HasWaitQueue;
            IsWaitQueueSuspended &= HasWaitQueue == false;
            HasReadModel = connection.HasReadModel;
            HasLimits = connection.HasLimits;
            HasFence = connection.HasFence;
        }
    }

    /// <summary>A session that is late and was replaced must not overwrite what the current one has found.</summary>
    private bool SetWaitQueue(LockSession session, bool isUsable, bool isSuspended)
    {
        lock (_sync)
        {
            if (session != _session) return false;

            (HasWaitQueue, IsWaitQueueSuspended) = (isUsable, isSuspended);
            return true;
        }
    }

    /// <summary>The server could not notify other processes of a release. Logs a warning, unless one was logged a moment ago.</summary>
    public void NotificationsFailed(Exception cause)
    {
        if (_notificationLogThrottle.IsTime()) _log.CannotTell(_connector.Server, LogThrottle.Pause.TotalSeconds, cause);
    }

    /// <summary>How many entries of the server's lock table this process can use; without limit before a session is open.</summary>
    public long Budget { get; private set; } = long.MaxValue;

    /// <summary>Whether the session can write to the read model, which shows the holders.</summary>
    public bool HasReadModel { get; private set; }

    /// <summary>Whether the limits that processes declare can be compared.</summary>
    public bool HasLimits { get; private set; }

    /// <summary>Whether grants have fencing tokens.</summary>
    public bool HasFence { get; private set; }

    /// <summary>Counts runs and their durations for each name.</summary>
    public StatisticsCounter Ledger { get; } = new();

    /// <summary>The metrics of this process.</summary>
    public LockMeter Meter { get; }

    /// <summary>Called when a session is open. Must not block.</summary>
    public Action OnOpened { get; init; } = static () => { };

    /// <summary>Called with the keys for which at least one wait queue entry can run now. Must not block.</summary>
    public Action<IReadOnlyList<FreeKey>> OnWaitersCanRun { get; init; } = static _ => { };

    /// <summary>Called with the payload of a notification about the wait queue and the backend that sent it.</summary>
    public Action<string, int> OnNotification { get; init; } = static (_, _) => { };

    /// <summary>Set by the local lock table when a request waits for a lock of another process.</summary>
    public bool NeedsListener { get; set; }

    /// <summary>Starts to acquire all of several locks, or none.</summary>
    /// <param name="requests">Sorted by key, each key once.</param>
    /// <param name="holder">The holder to record for the locks.</param>
    /// <param name="waits">Whether the request waits in this process instead of being refused.</param>
    /// <param name="before">The position limit: wait queue entries below it go first, see <see cref="QueuePrecedence"/>.</param>
    /// <param name="comesFor">The key of the lock for which the run was woken; null if it was not woken.</param>
    /// <param name="stack">The stack of the caller; null if stacks are not captured.</param>
    /// <param name="mayBlock">Whether the caller's thread may do the session's work. False for a request that waits: that work ignores its time-out.</param>
    /// <exception cref="JobLocksUnavailableException">The server cannot be asked, or the share of the lock table is used up. No lock was acquired.</exception>
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

    /// <summary>The caller stopped waiting. Locks that the request was or will be granted are released.</summary>
    public void Abandon(AcquireRequest request) => Change(static (table, request) => table.Abandon(request), request);

    /// <summary>Releases a lock. The server receives the release later, but before every operation that is noted after this call.</summary>
    public void Release(LockGrant grant)
    {
        Change(static (table, grant) => table.Release(grant), grant);
        var held = UtcNow - grant.Since;
        Ledger.Ran(grant.Line, grant.Name, held);
        Meter.Held(new(grant.Template, grant.Name), held);
    }

    /// <summary>Another process released the key, or may have released it. Its first waiter asks the server again.</summary>
    public void Retry(LockKey key) => Change(static (table, key) => table.Retry(key), key);

    /// <summary>Asks the server again for each key with waiters.</summary>
    public void RetryAll() => Change(static (table, _) => table.RetryAll(), 0);

    /// <summary>At least one wait queue entry of each of these keys can run now.</summary>
    public void WaitersCanRun(IReadOnlyList<FreeKey> keys)
    {
        lock (_sync) _waitersCouldRunAt = BootClock.Now;
        OnWaitersCanRun(keys);
    }

    /// <summary>Starts to listen for notifications of other processes. Stops by itself some time after the last waiter.</summary>
    public void Listen()
    {
        lock (_sync)
        {
            if (!_closed) _listener.Start();
        }
    }

    /// <summary>Sends a statement that is not about locks, after all operations noted so far.</summary>
    /// <returns>The answer. A thread can block on it: no other pool thread is needed to complete it.</returns>
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

    /// <summary>The locks that were granted at a time or before it, and are not lost.</summary>
    public List<LockGrant> HeldSince(DateTimeOffset since)
    {
        lock (_sync) return _table.HeldSince(since);
    }

    /// <summary>The holder of one of these keys in this process; null if there is none.</summary>
    public Holder? FindHolder(IEnumerable<LockKey> keys)
    {
        lock (_sync) return _table.FindHolder(keys);
    }

    /// <summary>
    /// A slot of a name was granted. Compares the limit with the one that other processes declare, in a statement of its own, so that the run need
    /// not wait for it.
    /// </summary>
    public void NoteLimit(LockRequest request)
    {
        if (!HasLimits || !_limits.IsNew(request)) return;

        _questions.Add(new(session => _limits.Compare(session, request), _ => { lock (_sync) _limits.Failed(request); }));
    }

    /// <summary>A reader released a lock that other readers of this process still share. Deletes its row of the read model.</summary>
    public void DeleteReadModelRow(LockOperation release) => _questions.Add(new(session => session.DeleteReadModelRows([release]), static _ => { }));

    /// <summary>The share of this process in the server's lock table is used up.</summary>
    /// <param name="needed">How many entries of that table the process needs without the refused request.</param>
    /// <param name="more">How many entries that request needs.</param>
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

    /// <summary>Wakes the session thread if there is urgent work, and returns the answered requests.</summary>
    private List<AcquireRequest> WakeSessionAndTakeDone()
    {
        if (_session is { IsIdle: true, IsBusy: false } && HasUrgentWork) Monitor.PulseAll(_sync);
        if (NeedsListener && !_closed) _listener.Start();
        NeedsListener = false;
        return _table.TakeDone();
    }
}
