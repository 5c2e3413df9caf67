using System.Diagnostics;
using System.Diagnostics.Metrics;
using JobLocks.Diagnostics;
using JobLocks.Locks;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;

namespace JobLocks.Postgres.Locks;

/// <summary>
/// Notes the operations of all threads in the local lock table, and makes the session of this process send them. Only <see cref="AddRequest"/> can wait for the
/// server, when the caller does the work of the session. No member needs the thread pool. Thread-safe.
/// </summary>
internal sealed class LockDispatcher : ILockOwner, IAsyncDisposable
{
    // Guards the local lock table, the work queue and the supervisor's fields. No I/O, user code or logging runs under it.
    private readonly StateMutex _sync = new();
    private readonly LocalLockTable _table;
    private readonly SessionWorkQueue _work;
    private readonly CollectedGrants _collected;
    private readonly ReleaseListener _listener;
    private readonly TimeProvider _clock;

    public LockDispatcher(SessionConnector connector, JobLocksOptions options, TimeProvider clock, ILogger log, IMeterFactory? meters = null, LockEvents? events = null)
    {
        events ??= new();
        _clock = clock;
        _collected = new(log);
        _table = new(this, clock, connector.Server);
        _work = new(_sync, _table.Output, new(options, log));
        _listener = new(connector, this, events, log);
        Meter = new(meters, () => _table.Count, () => Sessions is { Backend: not null }, options.NamesInTelemetry);
        Sessions = new(_sync, _table, _work, _listener, connector, events, options, log, _collected.ReleaseAll) { Meter = Meter };
    }

    /// <summary>The sessions of this process.</summary>
    public SessionSupervisor Sessions { get; }

    /// <summary>The server and database, without secrets.</summary>
    public string Server => Sessions.Server;

    /// <summary>The time on the clock of this process.</summary>
    public DateTimeOffset UtcNow => _clock.GetUtcNow();

    /// <summary>Counts runs and their durations for each name.</summary>
    public StatisticsCounter Statistics { get; } = new();

    /// <summary>For how long locks are usually held.</summary>
    public UsualHolds UsualHolds { get; } = new();

    /// <summary>The metrics of this process.</summary>
    public LockMeter Meter { get; }

    /// <summary>Starts to acquire all of several locks, or none.</summary>
    /// <param name="requests">Sorted by key, each key once.</param>
    /// <param name="holder">The holder to record for the locks.</param>
    /// <param name="waits">Whether the request waits in this process instead of being refused.</param>
    /// <param name="entryLimit">The entry limit: entries of the wait queue with smaller numbers precede the request, see <see cref="EntryLimit"/>.</param>
    /// <param name="entry">The queue entry of the run; null where it has none.</param>
    /// <param name="stack">The stack of the caller; null if stacks are not captured.</param>
    /// <param name="mayBlock">Whether the caller's thread may do the session's work. False for a request that waits: that work ignores its time-out.</param>
    /// <exception cref="JobLocksUnavailableException">The server cannot be asked, or the share of the lock table is used up. No lock was acquired.</exception>
    /// <exception cref="ObjectDisposedException">The locks were disposed.</exception>
    public AcquireRequest AddRequest(IReadOnlyList<LockRequest> requests, Holder holder, bool waits, long entryLimit, QueueEntry? entry, StackTrace? stack, bool mayBlock)
    {
        var request = new AcquireRequest(requests, holder, waits)
        {
            EntryLimit = entryLimit,
            WokenFor = entry is { BypassesQueue: true } ? entry.Key : null,
            WaitingFor = entry?.Key ?? requests[0].Key,
            WaitingSince = entry?.Since,
            Stack = stack,
        };
        List<AcquireRequest> done;
        SessionWork? work;
        LockSession? session;
        lock (_sync)
        {
            Sessions.EnsureSession();
            if (!_table.Share.HasRoomFor(request)) throw _table.Share.Exceeded(request);

            _table.AddRequest(request);
            session = Sessions.Current;
            work = mayBlock && request.IsPending && session is not null ? _work.TakeOnCallerThread(session) : null;
            done = Sessions.HandleTableOutput();
        }

        AcquireRequest.CompleteAll(done);
        if (work is not null) session!.Execute(work);
        return request;
    }

    /// <summary>The caller stopped waiting. Locks that the request was or will be granted are released.</summary>
    public void Abandon(AcquireRequest request) => Change(static (table, request) => table.Abandon(request), request);

    /// <summary>Releases a lock. The server receives the release later, but before every operation that is noted after this call.</summary>
    public void Release(LockGrant grant)
    {
        Change(static (table, grant) => table.Release(grant), grant);
        var now = UtcNow;
        var held = now - grant.Since;
        Statistics.Ran(grant.NameKey, grant.Name, new(grant.Run, grant.WaitingSince, grant.Since, now));
        UsualHolds.Add(grant.NameKey, held);
        Meter.Held(new(grant.Template, grant.Name), held);
    }

    /// <summary>Another process released the key, or may have released it. Its first waiter asks the server again.</summary>
    public void Retry(LockKey key) => Change(static (table, key) => table.Waiters.Retry(key), key);

    /// <summary>Asks the server again for each key with waiters.</summary>
    public void RetryAll() => Change(static (table, _) => table.Waiters.RetryAll(), 0);

    /// <summary>Starts to listen for notifications of other processes. Stops by itself some time after the last waiter.</summary>
    public void Listen() => _listener.Start();

    /// <summary>Sends a statement that is not a lock operation, after all operations noted so far.</summary>
    /// <returns>The answer. A thread can block on it: no other pool thread is needed to complete it.</returns>
    /// <exception cref="JobLocksUnavailableException">The server cannot be asked.</exception>
    /// <exception cref="ObjectDisposedException">The locks were disposed.</exception>
    public Task<T> QueryAsync<T>(Func<SessionConnection, T> query)
    {
        var answer = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        List<AcquireRequest> done;
        lock (_sync)
        {
            Sessions.EnsureSession();
            _work.Add(new(session => answer.TrySetResult(query(session)), failure => answer.TrySetException(failure)));
            done = Sessions.HandleTableOutput();
        }

        AcquireRequest.CompleteAll(done);
        return answer.Task;
    }

    /// <summary>The locks that were granted at a time or before it, and are not lost.</summary>
    public List<LockGrant> GrantedUntil(DateTimeOffset time)
    {
        lock (_sync) return _table.GrantedUntil(time);
    }

    /// <summary>The holder of one of these keys in this process; null if there is none.</summary>
    public Holder? FindHolder(IEnumerable<LockKey> keys)
    {
        lock (_sync) return _table.FindHolder(keys);
    }

    /// <inheritdoc cref="SessionSupervisor.CheckClock"/>
    public void CheckClock() => Sessions.CheckClock();

    /// <summary>Releases all locks and closes the session.</summary>
    /// <returns>Completes when the connections are closed.</returns>
    public ValueTask DisposeAsync()
    {
        var sessionEnded = Sessions.CloseAsync();
        Meter.Dispose();
        return new(Task.WhenAll(sessionEnded, _listener.DisposeAsync().AsTask()));
    }

    void ILockOwner.OnHandleCollected(LockGrant grant) => _collected.Add(grant);

    private void Change<T>(Action<LocalLockTable, T> change, T argument)
    {
        List<AcquireRequest> done;
        lock (_sync)
        {
            change(_table, argument);
            done = Sessions.HandleTableOutput();
        }

        AcquireRequest.CompleteAll(done);
    }
}
