using System.Data;
using System.Text.Json;
using JobLocks.Locks;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.Reading;
using JobLocks.Postgres.Schema;
using JobLocks.Postgres.WaitQueue;
using JobLocks.Primitives;
using Npgsql;
using NpgsqlTypes;

namespace JobLocks.Postgres.Session;

/// <summary>An open connection that was found fit to hold locks, with its statements. Used by the session's thread alone.</summary>
internal sealed class SessionConnection : IDisposable
{
    private static readonly TimeSpan BetweenChecks = TimeSpan.FromSeconds(1);

    private SessionFacts _facts;
    private LockStatement _plain;
    private LockStatement? _withSlots;
    private TimeSpan _queueCheckedAt;
    private TimeSpan _readModelPausedUntil;
    private uint _fence;

    public SessionConnection(NpgsqlConnection connection, SessionFacts facts)
    {
        _facts = facts;
        _fence = facts.Fence;
        Connection = connection;
        try
        {
            _plain = PrepareAndProve(facts);
        }
        catch (PostgresException locked) when (facts.HasWaitQueue && IsLocked(locked))
        {
            IsWaitQueueSuspended = true;
            _plain = PrepareAndProve(facts with { HasWaitQueue = false });
        }
    }

    public string Server => _facts.Server;

    public NpgsqlConnection Connection { get; }

    /// <summary>The server's process behind it.</summary>
    public int Backend => _facts.Backend;

    /// <summary>How many locks this process may have: its share of the server's lock table.</summary>
    public long Budget => _facts.Budget;

    /// <summary>Whether runs may stand in the line.</summary>
    public bool HasWaitQueue => _facts.HasWaitQueue;

    /// <summary>Whether the line is left alone for now, since somebody has its table to himself, or waits for that.</summary>
    public bool IsWaitQueueSuspended { get; private set; }

    /// <summary>Whether it can be written down who holds what.</summary>
    public bool HasReadModel => _facts.HasReadModel;

    /// <summary>Whether the limits that processes declare can be compared.</summary>
    public bool HasLimits => _facts.HasLimits;

    /// <summary>Whether grants have fencing tokens.</summary>
    public bool HasFence => _fence > 0;

    /// <summary>What the session uses of the schema, apart from its version.</summary>
    public SchemaState Schema => new(Version: 0, _fence, HasWaitQueue || IsWaitQueueSuspended, HasReadModel, HasLimits);

    /// <summary>When the last statement was sent that was answered: when it was opened, or by a question.</summary>
    public TimeSpan ProvedAt { get; private set; }

    /// <summary>False after an error that ended the connection.</summary>
    public bool StillStands => Connection.FullState.HasFlag(ConnectionState.Open) && !Connection.FullState.HasFlag(ConnectionState.Broken);

    /// <summary>Does the orders in one round trip, and draws the token of what it grants.</summary>
    /// <returns>The fencing token, 0 where there is none; and the keys in whose lines somebody stands whose turn comes now.</returns>
    public (long Token, IReadOnlyList<FreeKey> FreeKeys) Run(IReadOnlyList<LockOperation> operations)
    {
        DeleteReadModelRows(operations);
        var draw = _fence > 0 && operations.Any(static op => op.IsTake) ? new LockOperation(OperationCode.Draw, new(_fence)) : null;
        var freeKeys = StatementFor(operations).Run(draw is null ? operations : [.. operations, draw]);
        return (draw?.Result ?? 0, freeKeys);
    }

    /// <summary>
    /// What is written down of a lock goes before the lock does: nobody is shown as a holder who has let go. Costs nothing for locks that were
    /// held for a moment only, for they are not written down.
    /// </summary>
    public void DeleteReadModelRows(IReadOnlyList<LockOperation> releases)
    {
        List<long>? rows = null;
        foreach (var release in releases)
        {
            if (release.Grant is { Written: > 0 } grant) (rows ??= []).Add(grant.Written);
        }

        if (rows is null || !HasReadModel || BootClock.Now < _readModelPausedUntil) return;

        try
        {
            Ask<object>(WaitQueueSql.For(_facts.Options, ReadModelSql.StrikeOut), new { backend = Backend, gone = rows });
        }
        catch (PostgresException refused) when (StillStands)
        {
            // A full server, or no longer ours to write to. The next look at what is held strikes it out. A locked table is passed by, and not waited
            // for with every release.
            if (IsLocked(refused)) _readModelPausedUntil = BootClock.Now + BetweenChecks;
        }
    }

    /// <summary>
    /// Asks something of another kind, which may write: behind the guard where there is one. The statement has one parameter and one column,
    /// both in JSON, since the guard does not know what is asked.
    /// </summary>
    /// <exception cref="NpgsqlException">The server answered with an error, or the connection broke.</exception>
    public List<T?> Ask<T>(string sql, object parameter)
    {
        using var command = new NpgsqlCommand(_facts.IsGuarded ? GuardSql.Ask : sql, Connection)
        {
            Parameters = { new NpgsqlParameter<string> { TypedValue = JsonSerializer.Serialize(parameter), NpgsqlDbType = NpgsqlDbType.Jsonb } },
        };
        if (_facts.IsGuarded) command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = sql });
        return Prove(_ =>
        {
            using var reader = command.ExecuteReader();
            var answers = new List<T?>();
            while (reader.Read()) answers.Add(reader.IsDBNull(0) ? default : JsonSerializer.Deserialize<T>(reader.GetString(0)));
            return answers;
        });
    }

    /// <summary>Asks the server, whose answer proves that the session stands. So does an error that leaves the connection open.</summary>
    /// <exception cref="NpgsqlException">The server answered with an error, or the connection broke.</exception>
    public T Prove<T>(Func<NpgsqlConnection, T> query)
    {
        var sentAt = BootClock.Now;
        try
        {
            var answer = query(Connection);
            ProvedAt = sentAt;
            return answer;
        }
        catch (PostgresException) when (StillStands)
        {
            ProvedAt = sentAt;
            throw;
        }
    }

    /// <summary>Goes on without fencing tokens and without the line: they are no longer there, or no longer ours to use.</summary>
    /// <returns>Whether any of them was in use.</returns>
    public bool DisableSchema()
    {
        var wasUsed = _fence > 0 || _facts.HasWaitQueue;
        _fence = 0;
        IsWaitQueueSuspended = false;
        if (_facts.HasWaitQueue) _plain = Prepare(_facts with { HasWaitQueue = false });
        return wasUsed;
    }

    /// <summary>Looks what there is of our schema now, and goes on with that.</summary>
    /// <param name="schema">Its name.</param>
    /// <exception cref="NpgsqlException">The server answered with an error, or the connection broke.</exception>
    public SchemaState ReadSchema(string schema)
    {
        var now = QuerySchema(schema);
        // While somebody else has the table to himself, it is looked at elsewhere.
        var hasWaitQueue = now.HasWaitQueue && !IsWaitQueueSuspended;
        if (now.Fence == _fence && hasWaitQueue == _facts.HasWaitQueue && now.HasReadModel == _facts.HasReadModel && now.HasLimits == _facts.HasLimits) return now;

        if (hasWaitQueue && !_facts.HasWaitQueue && _facts.IsGuarded) Prove(connection => { GuardSql.Create(connection, _facts.Options, hasWaitQueue: true); return true; });
        _fence = now.Fence;
        _plain = Prepare(_facts with { HasWaitQueue = hasWaitQueue, HasReadModel = now.HasReadModel, HasLimits = now.HasLimits, Fence = now.Fence });
        return now;
    }

    /// <summary>
    /// A lock on a table was waited for in vain. Where it is that of the line, locks go on without it: for as long as that lasts, nobody looks whether
    /// somebody stands there.
    /// </summary>
    /// <returns>Whether it is.</returns>
    public bool SuspendWaitQueue()
    {
        if (!_facts.HasWaitQueue || IsQueueTableAccessible()) return false;

        _plain = Prepare(_facts with { HasWaitQueue = false });
        return IsWaitQueueSuspended = true;
    }

    /// <summary>Looks again at a line that was left alone, once in a while.</summary>
    /// <returns>Whether it is looked at from now on.</returns>
    public bool TryResumeWaitQueue()
    {
        if (BootClock.Now - _queueCheckedAt < BetweenChecks || !IsQueueTableAccessible()) return false;

        _plain = Prepare(_facts with { HasWaitQueue = true });
        IsWaitQueueSuspended = false;
        return true;
    }

    public void Dispose()
    {
        _plain.Dispose();
        _withSlots?.Dispose();
        Connection.Dispose();
    }

    /// <summary>Whether the server says that somebody else has a table to himself, or waits for that.</summary>
    public static bool IsLocked(PostgresException refused) => string.Equals(refused.SqlState, PostgresErrorCodes.LockNotAvailable, StringComparison.Ordinal);

    /// <summary>Whether nobody could be told on a channel: some listener does not read, and the server keeps what it has not read until there is no more room.</summary>
    public static bool IsQueueFull(PostgresException refused) => string.Equals(refused.SqlState, PostgresErrorCodes.ProgramLimitExceeded, StringComparison.Ordinal);

    /// <summary>Behind the guard: shared catalogs need room in the lock table.</summary>
    private SchemaState QuerySchema(string schema)
    {
        try
        {
            _facts.Owners.RunAgain(sql => Ask<string>($"SELECT to_jsonb((\n{sql}))", schema)[0]);
            return Ask<SchemaState.Row>(SchemaSql.LookAsJson, schema)[0]!.ToState();
        }
        catch (WrongServerException untrusted)
        {
            return new() { Problem = untrusted.Message };
        }
    }

    private LockStatement PrepareAndProve(SessionFacts facts)
    {
        var plain = Prepare(facts);
        Prove(_ => plain.Run([]));
        return plain;
    }

    private LockStatement Prepare(SessionFacts facts)
    {
        var plain = new LockStatement(Connection, facts, takesSlots: false);
        _facts = facts;
        _plain?.Dispose();
        _withSlots?.Dispose();
        _withSlots = null;
        return plain;
    }

    /// <summary>Whether nobody has the table of the line to himself, without waiting for anybody. What else is wrong with it, the next statement says.</summary>
    private bool IsQueueTableAccessible()
    {
        _queueCheckedAt = BootClock.Now;
        try
        {
            using var lockTable = new NpgsqlCommand(WaitQueueSql.For(_facts.Options, WaitQueueSql.CanLook), Connection);
            Prove(_ => lockTable.ExecuteNonQuery());
            return true;
        }
        catch (PostgresException refused) when (StillStands)
        {
            return !IsLocked(refused);
        }
    }

    private LockStatement StatementFor(IReadOnlyList<LockOperation> operations)
    {
        foreach (var op in operations)
        {
            if (op.Verb == OperationCode.TakeSlot) return _withSlots ??= new(Connection, _facts, takesSlots: true);
        }

        return _plain;
    }
}
