using System.Diagnostics;
using JobLocks.Diagnostics;
using JobLocks.Postgres.Locks;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>
/// The connection that holds all locks of this process, from its opening to its end. A session is not reopened: the next one is another session, and owns no
/// lock of this one. The connection is used by the session thread or by a caller that does the work on its own thread, never by both at the same time.
/// </summary>
internal sealed class LockSession(SessionSupervisor supervisor, SessionExchange exchange, SessionConnector connector, OpeningWatch watch, string? schema, ILogger log)
{
    private readonly StateMutex _closeSync = new();
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile IdleSocket? _socket;
    private volatile SessionConnection? _connection;
    // Written by the thread that uses the connection.
    private volatile SessionCapabilities? _capabilities;
    private bool _isKeptOpen;

    /// <summary>Whether a thread uses the connection. Accessed under the mutex of the supervisor.</summary>
    public bool IsBusy { get; set; }

    /// <summary>Whether the session thread waits for work. Accessed under the mutex of the supervisor.</summary>
    public bool IsIdle { get; set; }

    /// <summary>Whether that wait is short: the thread then checks for work without a signal. Accessed under the mutex of the supervisor.</summary>
    public bool IsInShortWait { get; set; }

    /// <summary>Whether the session is open. Written under the mutex of the supervisor.</summary>
    public bool IsOpen { get; set; }

    /// <summary>When the last statement was sent that the server answered in time. Written under the mutex of the supervisor.</summary>
    public TimeSpan ProvedAt { get; set; }

    /// <summary>The operations that were sent and have no answer. Accessed under the mutex of the supervisor.</summary>
    public IReadOnlyList<LockOperation> Sent { get; set; } = [];

    /// <summary>Which parts of the schema the session can use; null before it is open.</summary>
    public SessionCapabilities? Capabilities => _capabilities;

    /// <summary>The process ID of the server's backend; 0 before it is known.</summary>
    public int Backend => _connection?.Backend ?? 0;

    /// <summary>Completes when the connection is closed.</summary>
    public Task Ended => _ended.Task;

    /// <summary>Whether the session is not open yet and the server has been silent for too long.</summary>
    public bool IsOpeningTooLong => _connection is null && watch.IsExpired;

    /// <summary>Reads which parts of the schema the session can use. Called by the thread that uses the connection.</summary>
    public void ReadCapabilities(SessionConnection connection)
    {
        var now = SessionCapabilities.Of(connection);
        _capabilities = _capabilities is { } known ? now with { IsWaitQueueSuspended = known.IsWaitQueueSuspended && now.HasWaitQueue == false } : now;
    }

    /// <summary>Removes and returns the operations that were sent. Demands the mutex of the supervisor.</summary>
    public IReadOnlyList<LockOperation> TakeSent()
    {
        var sent = Sent;
        Sent = [];
        return sent;
    }

    public void Start() => DedicatedThread.Start("JobLocks session", Run);

    /// <summary>Whether the idle connection has data to read or is closed. If that cannot be seen, true: the server must be asked.</summary>
    public bool HasDataOrIsClosed() => _connection is not null && (_socket is null || _socket.HasDataOrIsClosed());

    /// <summary>
    /// Keeps the connection open until <see cref="CloseNow"/>. Its locks count as lost, but their runs are still stopping. The server may still get packets
    /// of this process: on a close it would release the locks while the runs are stopping.
    /// </summary>
    public void KeepOpen()
    {
        lock (_closeSync) _isKeptOpen = true;
    }

    /// <summary>
    /// Closes the connection, whatever thread uses it. A caller that does the session's work would otherwise wait for the command's time-out, and
    /// then for Npgsql, which tries to cancel the command over another connection.
    /// </summary>
    public void CloseNow()
    {
        watch.CloseNow();
        _socket?.Close();
        lock (_closeSync)
        {
            _isKeptOpen = false;
            _closeSync.SignalChange();
        }
    }

    private void WaitForCloseNow()
    {
        lock (_closeSync)
        {
            while (_isKeptOpen) _closeSync.Wait(Timeout.InfiniteTimeSpan);
        }
    }

    private void ReconcileHeld(SessionConnection connection, TimeSpan sentAt, Exception cause, bool retriesOnce = false)
    {
        // An error also proves that the session is alive.
        exchange.Proved(this, sentAt);
        using (var command = new NpgsqlCommand(LockSql.ClearSignals, connection.Connection)) command.ExecuteNonQuery();
        exchange.Failed(this, cause, connection.Prove(ReadHeld), retriesOnce);
        exchange.Proved(this, connection.ProvedAt);
    }

    private static HashSet<(LockKey Key, LockMode Mode)> ReadHeld(NpgsqlConnection connection)
    {
        using var command = new NpgsqlCommand(LockSql.HeldKeys, connection);
        using var reader = command.ExecuteReader();
        var held = new HashSet<(LockKey, LockMode)>();
        while (reader.Read()) held.Add((new(reader.GetInt64(0)), reader.GetBoolean(1) ? LockMode.Shared : LockMode.Exclusive));
        return held;
    }

    /// <summary>Executes work and passes on the answers. Called by the thread that does the work: the session thread or a caller's.</summary>
    public void Execute(SessionWork work)
    {
        var startedAt = BootClock.Now;
        try
        {
            Execute(_connection!, work);
        }
        catch (Exception broken)
        {
            ReportBroken(broken);
            // Queries that were answered before the error keep their answers.
            var failure = ServerTrouble.Describe(_connection!.Server, broken);
            foreach (var query in work.Queries) query.Fail(failure);
        }
        finally
        {
            exchange.WorkDone(this, BootClock.Now - startedAt);
        }
    }

    private void Run()
    {
        try
        {
            using var connection = connector.Open(watch);
            _connection = connection;
            _socket = IdleSocket.Of(connection.Connection);
            supervisor.Opened(this, connection);
            while (exchange.NextWork(this) is { } work) Execute(work);
            WaitForCloseNow();
        }
        catch (Exception broken)
        {
            ReportBroken(broken);
        }
        finally
        {
            _ended.SetResult();
        }
    }

    private void ReportBroken(Exception broken)
    {
        try
        {
            supervisor.Broke(this, broken);
        }
        catch (Exception unexpected)
        {
            // For example, a logger threw. The loss is already handled at this point, and this thread has no caller to report to.
            Debug.WriteLine(unexpected);
        }
    }

    private void Execute(SessionConnection connection, SessionWork work)
    {
        if (connection.IsWaitQueueSuspended) TryResumeWaitQueue(connection);
        var sentAt = BootClock.Now;
        try
        {
            if (work.Operations.Count > 0) supervisor.Meter.Sent(work.Operations.Count);
            var (token, freeKeys) = connection.Run(work.Operations);
            connector.Schema.NoteToken(token);
            exchange.Answered(this, sentAt, token);
            if (freeKeys.Count > 0) exchange.WaitersCanRun(freeKeys);
        }
        catch (PostgresException busy) when (connection.IsOpen && (SessionConnection.IsLocked(busy) || SessionConnection.IsNotificationQueueFull(busy)))
        {
            if (SessionConnection.IsNotificationQueueFull(busy)) exchange.NotificationsFailed(busy);
            else if (connection.SuspendWaitQueue()) SuspendWaitQueue();
            ReconcileHeld(connection, sentAt, busy, retriesOnce: true);
        }
        catch (PostgresException refused) when (connection.IsOpen)
        {
            // Locks work without the schema.
            ReconcileHeld(connection, sentAt, refused, retriesOnce: IsAboutSchema(refused) && DisableSchema(connection));
        }
        catch (FullLockTableException)
        {
            ReconcileHeld(connection, sentAt, new FullLockTableException(DescribeLargestUser(connection)));
        }

        foreach (var query in work.Queries)
        {
            Query(connection, query);
            exchange.Proved(this, connection.ProvedAt);
        }
    }

    /// <summary>Describes the backend with the most entries of the lock table. Every role can fill the table.</summary>
    private static string? DescribeLargestUser(SessionConnection connection)
    {
        try
        {
            if (connection.Query<LockTableUse>(LockSql.MostLocks, "") is not [{ Backend: { } backend } largest] || backend == connection.Backend) return null;

            var application = string.IsNullOrEmpty(largest.Application) ? "a program without a name" : DisplayText.Name(largest.Application);
            return FormattableString.Invariant($"The backend {backend} of {application} has the most entries of it, {largest.Entries}, and SELECT pg_terminate_backend({backend}) would end it. ");
        }
        catch (PostgresException) when (connection.IsOpen)
        {
            // The lock table has no room for this query either.
            return null;
        }
    }

    /// <param name="Backend">The process ID of the backend; null for a prepared transaction.</param>
    /// <param name="Entries">The number of its entries.</param>
    /// <param name="Application">Its application_name.</param>
    private sealed record LockTableUse(int? Backend, long Entries, string? Application);

    private void TryResumeWaitQueue(SessionConnection connection)
    {
        try
        {
            if (connection.TryResumeWaitQueue()) ResumeWaitQueue();
        }
        catch (PostgresException) when (connection.IsOpen)
        {
            // The table is still unusable. Locks work without it, and it is checked again later.
        }

        exchange.Proved(this, connection.ProvedAt);
    }

    private static bool IsAboutSchema(PostgresException refused) => refused.SqlState
        is PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.InvalidSchemaName or PostgresErrorCodes.InsufficientPrivilege
        or PostgresErrorCodes.InternalError or PostgresErrorCodes.ObjectNotInPrerequisiteState;

    /// <returns>Whether the session used fencing tokens or the wait queue until now, so that a retry can succeed.</returns>
    private bool DisableSchema(SessionConnection connection)
    {
        var wasUsed = connection.DisableSchema();
        SetWaitQueue(isUsable: false, isSuspended: false);
        return wasUsed;
    }

    private static void Query(SessionConnection connection, SessionQuery query)
    {
        try
        {
            query.Run(connection);
        }
        catch (Exception failed)
        {
            query.Fail(failed as JobLocksUnavailableException ?? ServerTrouble.Describe(connection.Server, failed));
            if (!connection.IsOpen) throw;
        }
    }

    /// <summary>Runs cannot enter the wait queue for now, because another session locks its table exclusively.</summary>
    private void SuspendWaitQueue()
    {
        SetWaitQueue(isUsable: false, isSuspended: true);
        log.WaitQueueIsLocked(schema!);
    }

    /// <summary>Runs can enter the wait queue again.</summary>
    private void ResumeWaitQueue()
    {
        SetWaitQueue(isUsable: true, isSuspended: false);
        log.WaitQueueIsBack(schema!);
    }

    private void SetWaitQueue(bool isUsable, bool isSuspended) =>
        _capabilities = _capabilities! with { HasWaitQueue = isUsable, IsWaitQueueSuspended = isSuspended };
}
