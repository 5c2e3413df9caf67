using Npgsql;

namespace JobLocks.Postgres;

/// <summary>
/// One connection that holds all locks of this process, from its opening to its end. It is never opened again: the next is another session,
/// and owns nothing of this one's. Its thread uses the connection, or a caller that has taken the work; never both at once.
/// </summary>
internal sealed class LockSession(LockDesk desk, SessionOpening opening)
{
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile IdleSocket? _socket;
    private volatile OpenedSession? _opened;

    /// <summary>Whether somebody uses the connection. Behind the door of the desk.</summary>
    public bool IsBusy { get; set; }

    /// <summary>Ends when the connection is closed.</summary>
    public Task Ended => _ended.Task;

    public void Start() => SessionThread.Start("JobLocks session", Run);

    /// <summary>Whether the idle connection has something to say. Where that cannot be seen, it must be asked.</summary>
    public bool HasNews() => _opened is not null && (_socket is null || _socket.HasNews());

    /// <summary>Compares what the server has with what the desk believes.</summary>
    public void CompareHeld(NpgsqlConnection connection) =>
        desk.Failed(this, new InvalidOperationException("a lock was given back that the session did not have: somebody else unlocked it"), ReadHeld(connection));

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
            desk.Broke(this, broken);
        }
        finally
        {
            desk.Rest(this, BootClock.Now - since);
        }
    }

    private void Run()
    {
        try
        {
            using var opened = opening.Open();
            _opened = opened;
            _socket = IdleSocket.Of(opened.Connection);
            desk.Opened(this, opened.ProvedAt, opened.Budget);
            while (desk.NextWork(this) is { } work) Do(work);
        }
        catch (Exception broken)
        {
            desk.Broke(this, broken);
        }
        finally
        {
            _ended.SetResult();
        }
    }

    private void Do(OpenedSession opened, SessionWork work)
    {
        var sentAt = BootClock.Now;
        long token;
        try
        {
            token = opened.Run(work.Orders);
        }
        catch (PostgresException refused) when (opened.StillStands)
        {
            // Without its sequence, a lock is still a lock.
            if (!string.Equals(refused.SqlState, PostgresErrorCodes.OutOfMemory, StringComparison.Ordinal)) opened.ForgetFence();
            desk.Failed(this, refused, ReadHeld(opened.Connection));
            return;
        }

        desk.Answered(this, sentAt, token);
        foreach (var question in work.Questions) Ask(opened, question);
    }

    private static void Ask(OpenedSession opened, SessionQuestion question)
    {
        try
        {
            question.Ask(opened.Connection);
        }
        catch (Exception failed)
        {
            question.Fail(ServerTrouble.Describe(opened.Server, failed));
            if (!opened.StillStands) throw;
        }
    }
}
