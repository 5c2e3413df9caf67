using System.Diagnostics;
using JobLocks.Postgres.Locks;
using JobLocks.Primitives;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>
/// One connection that holds all locks of this process, from its opening to its end. It is never opened again: the next is another session,
/// and owns nothing of this one's. Its thread uses the connection, or a caller that has taken the work; never both at once.
/// </summary>
internal sealed class LockSession(LockDispatcher dispatcher, SessionConnector connector, OpeningWatch watch)
{
    private readonly object _cutSync = new();
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile IdleSocket? _socket;
    private volatile SessionConnection? _connection;
    private bool _isKeptOpen;

    /// <summary>Whether somebody uses the connection. Behind the door of the dispatcher.</summary>
    public bool IsBusy { get; set; }

    /// <summary>Whether its thread waits for work. Behind the door of the dispatcher.</summary>
    public bool IsIdle { get; set; }

    /// <summary>Whether it looks again by itself a moment later. Behind the door of the dispatcher.</summary>
    public bool IsInShortWait { get; set; }

    /// <summary>The server's process; 0 before it is known.</summary>
    public int Backend => _connection?.Backend ?? 0;

    /// <summary>Ends when the connection is closed.</summary>
    public Task Ended => _ended.Task;

    /// <summary>Whether the server has let us in and is silent since.</summary>
    public bool IsOpeningTooLong => _connection is null && watch.IsExpired;

    public void Start() => SessionThread.Start("JobLocks session", Run);

    /// <summary>Whether the idle connection has something to say. Where that cannot be seen, it must be asked.</summary>
    public bool HasNews() => _connection is not null && (_socket is null || _socket.HasNews());

    /// <summary>
    /// The connection stays until <see cref="Cut"/>: its locks count as lost, but their runs are still stopping. Where the server hears us,
    /// closing it would give the locks to others at once.
    /// </summary>
    public void KeepOpen()
    {
        lock (_cutSync) _isKeptOpen = true;
    }

    /// <summary>
    /// Ends the connection, whoever uses it. A caller who does the work itself would wait for the command's time-out, and then for Npgsql,
    /// which tries to cancel the command over a connection of its own.
    /// </summary>
    public void Cut()
    {
        watch.Cut();
        _socket?.Close();
        lock (_cutSync)
        {
            _isKeptOpen = false;
            Monitor.PulseAll(_cutSync);
        }
    }

    private void WaitForCut()
    {
        lock (_cutSync)
        {
            while (_isKeptOpen) Monitor.Wait(_cutSync);
        }
    }

    private void ReconcileHeld(SessionConnection connection, TimeSpan sentAt, Exception cause, bool retriesOnce = false)
    {
        // An error is an answer, too.
        dispatcher.Proved(this, sentAt);
        using (var command = new NpgsqlCommand(LockSql.ClearSignals, connection.Connection)) command.ExecuteNonQuery();
        dispatcher.Failed(this, cause, connection.Prove(ReadHeld), retriesOnce);
        dispatcher.Proved(this, connection.ProvedAt);
    }

    private static HashSet<(LockKey Key, LockMode Mode)> ReadHeld(NpgsqlConnection connection)
    {
        using var command = new NpgsqlCommand(LockSql.HeldKeys, connection);
        using var reader = command.ExecuteReader();
        var held = new HashSet<(LockKey, LockMode)>();
        while (reader.Read()) held.Add((new(reader.GetInt64(0)), reader.GetBoolean(1) ? LockMode.Shared : LockMode.Exclusive));
        return held;
    }

    /// <summary>Does some work, and takes in the answers. For the one who has taken the work: this session's thread, or a caller's.</summary>
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
            // Those that were answered stay so.
            var failure = ServerTrouble.Describe(_connection!.Server, broken);
            foreach (var question in work.Questions) question.Fail(failure);
        }
        finally
        {
            dispatcher.WorkDone(this, BootClock.Now - startedAt);
        }
    }

    private void Run()
    {
        try
        {
            using var connection = connector.Open(watch);
            _connection = connection;
            _socket = IdleSocket.Of(connection.Connection);
            dispatcher.Opened(this, connection);
            while (dispatcher.NextWork(this) is { } work) Execute(work);
            WaitForCut();
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
            dispatcher.SessionBroke(this, broken);
        }
        catch (Exception unexpected)
        {
            // A logger that throws, for example: by then all that matters is done, and this thread has nobody to tell.
            Debug.WriteLine(unexpected);
        }
    }

    private void Execute(SessionConnection connection, SessionWork work)
    {
        if (connection.IsWaitQueueSuspended) TryResumeWaitQueue(connection);
        var sentAt = BootClock.Now;
        try
        {
            if (work.Operations.Count > 0) dispatcher.Meter.Sent(work.Operations.Count);
            var (token, freeKeys) = connection.Run(work.Operations);
            connector.NoteToken(token);
            dispatcher.Answered(this, sentAt, token);
            if (freeKeys.Count > 0) dispatcher.WaitersCanRun(freeKeys);
        }
        catch (PostgresException busy) when (connection.StillStands && (SessionConnection.IsLocked(busy) || SessionConnection.IsQueueFull(busy)))
        {
            if (SessionConnection.IsQueueFull(busy)) dispatcher.NotificationsFailed(busy);
            else if (connection.SuspendWaitQueue()) dispatcher.SuspendWaitQueue();
            ReconcileHeld(connection, sentAt, busy, retriesOnce: true);
        }
        catch (PostgresException refused) when (connection.StillStands)
        {
            // Without our schema, a lock is still a lock.
            ReconcileHeld(connection, sentAt, refused, retriesOnce: IsAboutSchema(refused) && DisableSchema(connection));
        }
        catch (FullLockTableException)
        {
            ReconcileHeld(connection, sentAt, new FullLockTableException(DescribeLargestUser(connection)));
        }

        foreach (var question in work.Questions)
        {
            Ask(connection, question);
            dispatcher.Proved(this, connection.ProvedAt);
        }
    }

    /// <summary>Names the backend that has the most entries of the lock table. Every role can fill it.</summary>
    private static string? DescribeLargestUser(SessionConnection connection)
    {
        try
        {
            if (connection.Ask<LockTableUse>(LockSql.MostLocks, "") is not [{ Backend: { } backend } largest] || backend == connection.Backend) return null;

            var application = string.IsNullOrEmpty(largest.Application) ? "a program without a name" : DisplayText.Name(largest.Application);
            return FormattableString.Invariant($"The backend {backend} of {application} has the most entries of it, {largest.Entries}, and SELECT pg_terminate_backend({backend}) would end it. ");
        }
        catch (PostgresException) when (connection.StillStands)
        {
            // No room for this question either.
            return null;
        }
    }

    /// <param name="Backend">Whose; null for a prepared transaction.</param>
    /// <param name="Entries">How many.</param>
    /// <param name="Application">The name that it gives itself.</param>
    private sealed record LockTableUse(int? Backend, long Entries, string? Application);

    private void TryResumeWaitQueue(SessionConnection connection)
    {
        try
        {
            if (connection.TryResumeWaitQueue()) dispatcher.ResumeWaitQueue();
        }
        catch (PostgresException) when (connection.StillStands)
        {
            // Not yet, after all. Locks go on without it, and it is looked at again.
        }

        dispatcher.Proved(this, connection.ProvedAt);
    }

    private static bool IsAboutSchema(PostgresException refused) => refused.SqlState
        is PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.InvalidSchemaName or PostgresErrorCodes.InsufficientPrivilege
        or PostgresErrorCodes.InternalError or PostgresErrorCodes.ObjectNotInPrerequisiteState;

    /// <returns>Whether the session goes on in another way than before.</returns>
    private bool DisableSchema(SessionConnection connection)
    {
        var wasUsed = connection.DisableSchema();
        dispatcher.DisableWaitQueue();
        return wasUsed;
    }

    private static void Ask(SessionConnection connection, SessionQuestion question)
    {
        try
        {
            question.Ask(connection);
        }
        catch (Exception failed)
        {
            question.Fail(failed as JobLocksUnavailableException ?? ServerTrouble.Describe(connection.Server, failed));
            if (!connection.StillStands) throw;
        }
    }
}
