using System.Diagnostics;
using JobLocks.Postgres.Locks;
using JobLocks.Primitives;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>
/// One connection that holds all locks of this process, from its opening to its end. It is never opened again: the next is another session,
/// and owns nothing of this one's. Its thread uses the connection, or a caller that has taken the work; never both at once.
/// </summary>
internal sealed class LockSession(LockDispatcher dispatcher, SessionConnector opening, OpeningWatch watch)
{
    private readonly object _end = new();
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile IdleSocket? _socket;
    private volatile SessionConnection? _opened;
    private bool _stays;

    /// <summary>Whether somebody uses the connection. Behind the door of the dispatcher.</summary>
    public bool IsBusy { get; set; }

    /// <summary>Whether its thread waits for work. Behind the door of the dispatcher.</summary>
    public bool Idles { get; set; }

    /// <summary>Whether it looks again by itself a moment later. Behind the door of the dispatcher.</summary>
    public bool Naps { get; set; }

    /// <summary>The server's process; 0 before it is known.</summary>
    public int Backend => _opened?.Backend ?? 0;

    /// <summary>Ends when the connection is closed.</summary>
    public Task Ended => _ended.Task;

    /// <summary>Whether the server has let us in and is silent since.</summary>
    public bool OpensTooLong => _opened is null && watch.IsOver;

    public void Start() => SessionThread.Start("JobLocks session", Run);

    /// <summary>Whether the idle connection has something to say. Where that cannot be seen, it must be asked.</summary>
    public bool HasNews() => _opened is not null && (_socket is null || _socket.HasNews());

    /// <summary>
    /// The connection stays until <see cref="Cut"/>: its locks count as lost, but their runs are still stopping. Where the server hears us,
    /// closing it would give the locks to others at once.
    /// </summary>
    public void Stay()
    {
        lock (_end) _stays = true;
    }

    /// <summary>
    /// Ends the connection, whoever uses it. A caller who does the work itself would wait for the command's time-out, and then for Npgsql,
    /// which tries to cancel the command over a connection of its own.
    /// </summary>
    public void Cut()
    {
        watch.Cut();
        _socket?.Close();
        lock (_end)
        {
            _stays = false;
            Monitor.PulseAll(_end);
        }
    }

    private void WaitForCut()
    {
        lock (_end)
        {
            while (_stays) Monitor.Wait(_end);
        }
    }

    private void CompareHeld(SessionConnection opened, TimeSpan sentAt, Exception cause, bool asksAgain = false)
    {
        // An error is an answer, too.
        dispatcher.Proved(this, sentAt);
        using (var command = new NpgsqlCommand(LockSql.TakeBackSigns, opened.Connection)) command.ExecuteNonQuery();
        dispatcher.Failed(this, cause, opened.Prove(ReadHeld), asksAgain);
        dispatcher.Proved(this, opened.ProvedAt);
    }

    private static HashSet<(LockKey Key, LockMode Mode)> ReadHeld(NpgsqlConnection connection)
    {
        using var command = new NpgsqlCommand(LockSql.Mine, connection);
        using var reader = command.ExecuteReader();
        var held = new HashSet<(LockKey, LockMode)>();
        while (reader.Read()) held.Add((new(reader.GetInt64(0)), reader.GetBoolean(1) ? LockMode.Shared : LockMode.Exclusive));
        return held;
    }

    /// <summary>Does some work, and takes in the answers. For the one who has taken the work: this session's thread, or a caller's.</summary>
    public void Do(SessionWork work)
    {
        var since = BootClock.Now;
        try
        {
            Do(_opened!, work);
        }
        catch (Exception broken)
        {
            TryTell(broken);
            // Those that were answered stay so.
            var failure = ServerTrouble.Describe(_opened!.Server, broken);
            foreach (var question in work.Questions) question.Fail(failure);
        }
        finally
        {
            dispatcher.Rest(this, BootClock.Now - since);
        }
    }

    private void Run()
    {
        try
        {
            using var opened = opening.Open(watch);
            _opened = opened;
            _socket = IdleSocket.Of(opened.Connection);
            dispatcher.Opened(this, opened);
            while (dispatcher.NextWork(this) is { } work) Do(work);
            WaitForCut();
        }
        catch (Exception broken)
        {
            TryTell(broken);
        }
        finally
        {
            _ended.SetResult();
        }
    }

    private void TryTell(Exception broken)
    {
        try
        {
            dispatcher.Broke(this, broken);
        }
        catch (Exception unexpected)
        {
            // A logger that throws, for example: by then all that matters is done, and this thread has nobody to tell.
            Debug.WriteLine(unexpected);
        }
    }

    private void Do(SessionConnection opened, SessionWork work)
    {
        if (opened.IsLineAside) TryTakeLineBack(opened);
        var sentAt = BootClock.Now;
        try
        {
            if (work.Orders.Count > 0) dispatcher.Meter.Sent(work.Orders.Count);
            var (token, lines) = opened.Run(work.Orders);
            opening.Drew(token);
            dispatcher.Answered(this, sentAt, token);
            if (lines.Count > 0) dispatcher.TurnCame(lines);
        }
        catch (PostgresException others) when (opened.StillStands && (SessionConnection.IsLocked(others) || SessionConnection.IsQueueFull(others)))
        {
            if (SessionConnection.IsQueueFull(others)) dispatcher.CannotTell(others);
            else if (opened.SetLineAside()) dispatcher.LeaveLine();
            CompareHeld(opened, sentAt, others, asksAgain: true);
        }
        catch (PostgresException refused) when (opened.StillStands)
        {
            // Without our schema, a lock is still a lock.
            CompareHeld(opened, sentAt, refused, asksAgain: IsAboutSchema(refused) && ForgetSchema(opened));
        }
        catch (FullLockTableException)
        {
            CompareHeld(opened, sentAt, new FullLockTableException(WhoHasMostLocks(opened)));
        }

        foreach (var question in work.Questions)
        {
            Ask(opened, question);
            dispatcher.Proved(this, opened.ProvedAt);
        }
    }

    /// <summary>Names the backend that has the most entries of the lock table. Every role can fill it.</summary>
    private static string? WhoHasMostLocks(SessionConnection opened)
    {
        try
        {
            if (opened.Ask<LockTableUse>(LockSql.MostLocks, "") is not [{ Backend: { } backend } most] || backend == opened.Backend) return null;

            var application = string.IsNullOrEmpty(most.Application) ? "a program without a name" : DisplayText.Name(most.Application);
            return FormattableString.Invariant($"The backend {backend} of {application} has the most entries of it, {most.Entries}, and SELECT pg_terminate_backend({backend}) would end it. ");
        }
        catch (PostgresException) when (opened.StillStands)
        {
            // No room for this question either.
            return null;
        }
    }

    /// <param name="Backend">Whose; null for a prepared transaction.</param>
    /// <param name="Entries">How many.</param>
    /// <param name="Application">The name that it gives itself.</param>
    private sealed record LockTableUse(int? Backend, long Entries, string? Application);

    private void TryTakeLineBack(SessionConnection opened)
    {
        try
        {
            if (opened.TryTakeLineBack()) dispatcher.TakeLineBack();
        }
        catch (PostgresException) when (opened.StillStands)
        {
            // Not yet, after all. Locks go on without it, and it is looked at again.
        }

        dispatcher.Proved(this, opened.ProvedAt);
    }

    private static bool IsAboutSchema(PostgresException refused) => refused.SqlState
        is PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.InvalidSchemaName or PostgresErrorCodes.InsufficientPrivilege
        or PostgresErrorCodes.InternalError or PostgresErrorCodes.ObjectNotInPrerequisiteState;

    /// <returns>Whether the session goes on in another way than before.</returns>
    private bool ForgetSchema(SessionConnection opened)
    {
        var usedSome = opened.ForgetSchema();
        dispatcher.ForgetLine();
        return usedSome;
    }

    private static void Ask(SessionConnection opened, SessionQuestion question)
    {
        try
        {
            question.Ask(opened);
        }
        catch (Exception failed)
        {
            question.Fail(failed as JobLocksUnavailableException ?? ServerTrouble.Describe(opened.Server, failed));
            if (!opened.StillStands) throw;
        }
    }
}
