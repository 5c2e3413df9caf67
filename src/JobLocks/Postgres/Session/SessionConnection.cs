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

/// <summary>An open connection that was found fit to hold locks, with its statements. Not thread-safe: used by one thread at a time.</summary>
internal sealed class SessionConnection : IDisposable
{
    private static readonly TimeSpan BetweenChecks = TimeSpan.FromSeconds(1);

    private SessionFacts _facts;
    private LockStatement _plain;
    private LockStatement? _withSlots;
    private UncontestedStatement? _uncontested;
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

    /// <summary>The process ID of the server's backend.</summary>
    public int Backend => _facts.Backend;

    /// <summary>The share of this process: how many entries of the server's lock table it can use.</summary>
    public long Share => _facts.LockTableShare;

    /// <summary>Whether runs can enter the wait queue.</summary>
    public bool HasWaitQueue => _facts.HasWaitQueue;

    /// <summary>Whether the wait queue is unused for now, because another session locks its table exclusively, or waits for that lock.</summary>
    public bool IsWaitQueueSuspended { get; private set; }

    /// <summary>Whether the session can write to the read model, which shows the holders.</summary>
    public bool HasReadModel => _facts.HasReadModel;

    /// <summary>Whether the limits that processes declare can be compared.</summary>
    public bool HasLimits => _facts.HasLimits;

    /// <summary>Whether the session can write the runs and the samples that the plots of the pages show.</summary>
    public bool HasTimeline => _facts.HasTimeline;

    /// <summary>Whether grants have fencing tokens.</summary>
    public bool HasFence => _fence > 0;

    /// <summary>What the session uses of the schema, without the schema's version.</summary>
    public SchemaState Schema => new(Version: 0, _fence, HasWaitQueue || IsWaitQueueSuspended, HasReadModel, HasLimits, HasTimeline);

    /// <summary>
    /// When the last statement was sent that was answered in <see cref="Prove"/>. <see cref="SessionExchange"/> records the answers of <see cref="Run"/>.
    /// </summary>
    public TimeSpan ProvedAt { get; private set; }

    /// <summary>False after an error that ended the connection.</summary>
    public bool IsOpen => Connection.FullState.HasFlag(ConnectionState.Open) && !Connection.FullState.HasFlag(ConnectionState.Broken);

    /// <summary>Runs operations in one round trip, and draws the fencing token of the locks that they grant.</summary>
    /// <returns>The fencing token, or 0 if there is none; and the keys for which at least one wait queue entry can run now.</returns>
    public (long Token, IReadOnlyList<FreeKey> FreeKeys) Run(IReadOnlyList<LockOperation> operations)
    {
        DeleteReadModelRows(operations);
        if (_uncontested is { } uncontested && uncontested.Fits(operations))
        {
            var (token, left) = uncontested.Run(operations, _fence);
            if (left.Count == 0) return (token, []);

            operations = left;
        }

        var draw = _fence > 0 && operations.Any(static op => op.IsAcquire) ? new LockOperation(OperationCode.DrawToken, new(_fence)) : null;
        var freeKeys = StatementFor(operations).Run(draw is null ? operations : [.. operations, draw]);
        return (draw?.Result ?? 0, freeKeys);
    }

    /// <summary>
    /// Deletes the rows of these locks from the read model before the locks are released: a run that has released its lock is never shown as its
    /// holder. Costs nothing for locks that were held for less than 0.25 s, because they have no row.
    /// </summary>
    public void DeleteReadModelRows(IReadOnlyList<LockOperation> releases)
    {
        List<long>? rows = null;
        foreach (var release in releases)
        {
            if (release.Grant is { ReadModelRow: > 0 } grant) (rows ??= []).Add(grant.ReadModelRow);
        }

        if (rows is null || !HasReadModel || BootClock.Now < _readModelPausedUntil) return;

        try
        {
            Query<object>(WaitQueueSql.For(_facts.Options, ReadModelSql.RemoveRows), new { backend = Backend, gone = rows });
        }
        catch (PostgresException refused) when (IsOpen)
        {
            // The server is full, or this role may no longer write. The next update of the read model deletes the rows. A locked table is skipped for
            // a while: otherwise every release would wait for it.
            if (IsLocked(refused)) _readModelPausedUntil = BootClock.Now + BetweenChecks;
        }
    }

    /// <summary>
    /// Runs a statement that is not a lock operation and may write; through the guard if there is one. The statement has one parameter and one column,
    /// both JSON, so that one function of the guard can run every such statement.
    /// </summary>
    /// <exception cref="NpgsqlException">The server answered with an error, or the connection broke.</exception>
    public List<T?> Query<T>(string sql, object parameter)
    {
        using var command = new NpgsqlCommand(_facts.IsGuarded ? GuardSql.Query : sql, Connection)
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

    /// <summary>Runs a statement whose answer proves that the session is alive. An error that leaves the connection open proves it too.</summary>
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
        catch (PostgresException) when (IsOpen)
        {
            ProvedAt = sentAt;
            throw;
        }
    }

    /// <summary>Continues without fencing tokens and without the wait queue: they were dropped, or this role may no longer use them.</summary>
    /// <returns>Whether any of them was in use.</returns>
    public bool DisableSchema()
    {
        var wasUsed = _fence > 0 || _facts.HasWaitQueue;
        _fence = 0;
        IsWaitQueueSuspended = false;
        if (_facts.HasWaitQueue) _plain = Prepare(_facts with { HasWaitQueue = false });
        return wasUsed;
    }

    /// <summary>Reads what exists of the schema now, and continues with that.</summary>
    /// <param name="schema">The name of the schema.</param>
    /// <param name="mayDrawFrom">Whether tokens may be drawn from the sequence with this OID.</param>
    /// <exception cref="NpgsqlException">The server answered with an error, or the connection broke.</exception>
    public SchemaState ReadSchema(string schema, Func<uint, bool> mayDrawFrom)
    {
        var now = QuerySchema(schema);
        var fence = mayDrawFrom(now.Fence) ? now.Fence : 0;
        // While another session locks the table exclusively, TryResumeWaitQueue checks it.
        var hasWaitQueue = now.HasWaitQueue && !IsWaitQueueSuspended;
        if (fence == _fence && hasWaitQueue == _facts.HasWaitQueue && now.HasReadModel == _facts.HasReadModel && now.HasLimits == _facts.HasLimits
            && now.HasTimeline == _facts.HasTimeline) return now;

        if (hasWaitQueue && !_facts.HasWaitQueue && _facts.IsGuarded) Prove(connection => { GuardSql.Create(connection, _facts.Options, hasWaitQueue: true); return true; });
        _fence = fence;
        _plain = Prepare(_facts with { HasWaitQueue = hasWaitQueue, HasReadModel = now.HasReadModel, HasLimits = now.HasLimits, HasTimeline = now.HasTimeline, Fence = fence });
        return now;
    }

    /// <summary>
    /// A statement did not get a table lock in time. If it was the table of the wait queue, locks are granted without it for now: newcomers can then bypass
    /// the runs that wait.
    /// </summary>
    /// <returns>Whether it was that table.</returns>
    public bool SuspendWaitQueue()
    {
        if (!_facts.HasWaitQueue || IsQueueTableAccessible()) return false;

        _plain = Prepare(_facts with { HasWaitQueue = false });
        return IsWaitQueueSuspended = true;
    }

    /// <summary>Checks whether a suspended wait queue can be used again, at most once in a second.</summary>
    /// <returns>Whether it is used from now on.</returns>
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
        _uncontested?.Dispose();
        Connection.Dispose();
    }

    /// <summary>Whether the error says that another session locks a table exclusively, or waits for that lock.</summary>
    public static bool IsLocked(PostgresException refused) => string.Equals(refused.SqlState, PostgresErrorCodes.LockNotAvailable, StringComparison.Ordinal);

    /// <summary>
    /// Whether the error says that no notification can be sent: a listener does not read, and the server's queue of unread notifications is full.
    /// </summary>
    public static bool IsNotificationQueueFull(PostgresException refused) => string.Equals(refused.SqlState, PostgresErrorCodes.ProgramLimitExceeded, StringComparison.Ordinal);

    /// <summary>Runs through the guard, because reading shared catalogs needs room in the lock table.</summary>
    private SchemaState QuerySchema(string schema)
    {
        try
        {
            _facts.Owners.RunAgain(sql => Query<string>($"SELECT to_jsonb((\n{sql}))", schema)[0]);
            return Query<SchemaState.Row>(SchemaSql.ReadStateAsJson, schema)[0]!.ToState();
        }
        catch (UnusableServerException untrusted)
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
        var plain = new LockStatement(Connection, facts, supportsSlots: false);
        var uncontested = facts.IsGuarded ? new UncontestedStatement(Connection, facts) : null;
        _facts = facts;
        _plain?.Dispose();
        _withSlots?.Dispose();
        _withSlots = null;
        _uncontested?.Dispose();
        _uncontested = uncontested;
        return plain;
    }

    /// <summary>
    /// Whether no other session locks the table of the wait queue exclusively. Does not wait. Any other error of that table is left to the next
    /// statement.
    /// </summary>
    private bool IsQueueTableAccessible()
    {
        _queueCheckedAt = BootClock.Now;
        try
        {
            using var lockTable = new NpgsqlCommand(WaitQueueSql.For(_facts.Options, WaitQueueSql.FailIfLocked), Connection);
            Prove(_ => lockTable.ExecuteNonQuery());
            return true;
        }
        catch (PostgresException refused) when (IsOpen)
        {
            return !IsLocked(refused);
        }
    }

    private LockStatement StatementFor(IReadOnlyList<LockOperation> operations)
    {
        foreach (var op in operations)
        {
            if (op.Code == OperationCode.AcquireSlot) return _withSlots ??= new(Connection, _facts, supportsSlots: true);
        }

        return _plain;
    }
}
