using System.Globalization;
using JobLocks.Diagnostics;
using JobLocks.Locks;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.Schema;

/// <summary>
/// The database objects of this library. The first process creates them, under an advisory lock, so that several processes can start at once.
/// </summary>
internal sealed class JobLocksSchema(JobLocksOptions options, OwnerCheck owners, ILogger log)
{
    private const string RollbackSql = "ROLLBACK";

    // Changed only by Interlocked, so that the greatest token stays.
    private long _lastToken;
    private volatile uint _notedFence;

    /// <summary>Records a fencing token that a session has drawn.</summary>
    public void NoteToken(long token)
    {
        // Two sessions, one of them lost, may call this at the same time.
        for (var last = Volatile.Read(ref _lastToken); token > last; last = Volatile.Read(ref _lastToken)) Interlocked.CompareExchange(ref _lastToken, token, last);
    }

    /// <summary>Creates the objects that are missing.</summary>
    /// <exception cref="UnusableServerException">They are missing and this role may not create them, or they belong to a foreign role.</exception>
    public SchemaState Prepare(NpgsqlConnection connection, OpeningWatch watch)
    {
        if (options.Schema is not { } schema) return default;

        Blocking.Wait(owners.RunAsync(connection, blocks: true, CancellationToken.None).AsTask());
        var state = Read(connection, schema);
        if (state.Version < SchemaSql.Version)
        {
            if (!options.PrepareSchema) throw Missing(schema, state.Version, $"{nameof(JobLocksOptions.PrepareSchema)} is false");

            Create(connection, schema, state.Version, watch);
            watch.Restart();
            Blocking.Wait(owners.RunAsync(connection, blocks: true, CancellationToken.None).AsTask());
            state = Read(connection, schema);
        }

        LogUnusableParts(state);
        return TryNoteServer(connection, state.Fence) ? state : state with { Fence = 0 };
    }

    /// <summary>Whether a session may draw from this sequence: a session of this process has noted the server since then, and advanced the sequence if necessary.</summary>
    /// <param name="fence">The OID of the sequence; 0 for none.</param>
    public bool MayDrawFrom(uint fence) => fence == _notedFence;

    /// <summary>Notes the server before a session draws from a sequence. Logs a warning if that is impossible for now.</summary>
    public bool TryNoteServer(NpgsqlConnection connection, uint fence)
    {
        try
        {
            if (fence > 0) new ServerHistory(options.Schema!, log).Note(connection);
            _notedFence = fence;
            return true;
        }
        catch (PostgresException locked) when (connection.FullState == System.Data.ConnectionState.Open)
        {
            _notedFence = 0;
            log.TokensAreLate(options.Schema!, locked);
            return false;
        }
    }

    /// <summary>Logs which parts of the schema this role may not use.</summary>
    public void LogUnusableParts(SchemaState state)
    {
        var schema = options.Schema!;
        if (state.Fence == 0) log.NoFence(schema);
        if (!state.HasWaitQueue) log.NoWaitQueue(schema);
        if (!state.HasReadModel) log.NoReadModel(schema);
        if (!state.HasLimits) log.NoLimits(schema);
        if (!state.HasTimeline) log.MayNotWritePlots(schema);
    }

    /// <summary>Reads what exists of the schema. Waits for no table lock.</summary>
    public static SchemaState Read(NpgsqlConnection connection, string schema)
    {
        using var command = new NpgsqlCommand(SchemaSql.ReadState, connection) { Parameters = { new NpgsqlParameter<string> { TypedValue = schema } } };
        using var reader = command.ExecuteReader();
        reader.Read();
        return new(reader.GetInt32(0), reader.GetBoolean(2) ? (uint)reader.GetInt64(1) : 0, reader.GetBoolean(3), reader.GetBoolean(4), reader.GetBoolean(5), reader.GetBoolean(6));
    }

    private void Create(NpgsqlConnection connection, string schema, int version, OpeningWatch watch)
    {
        // The current role, not the login, which can differ from it. Read in advance: after an error no query can run in the transaction.
        var role = RoleOf(connection);
        try
        {
            connection.Notice += OnNotice;
            SetLastToken(connection);
            // The script runs in one transaction, which it opens and ends itself.
            foreach (var statement in SchemaScript.StatementsFor(schema))
            {
                if (!statement.EndsWith(SchemaSql.ScriptLock, StringComparison.Ordinal))
                {
                    Run(connection, statement);
                    continue;
                }

                new SetUpLock(connection, watch, schema, log).Acquire();
                // The previous holder of the lock can have done all of this. Changing the tables again would block the sessions that use them.
                if (Read(connection, schema).Version >= SchemaSql.Version)
                {
                    Run(connection, RollbackSql);
                    return;
                }
            }

            log.SchemaReady(schema, SchemaSql.Version);
        }
        catch (PostgresException denied) when (string.Equals(denied.SqlState, PostgresErrorCodes.InsufficientPrivilege, StringComparison.Ordinal))
        {
            throw Missing(schema, version, $"this role may not create it (role {role}: {denied.MessageText})");
        }
        finally
        {
            connection.Notice -= OnNotice;
        }
    }

    /// <summary>Makes a recreated sequence start above this token, even if the server's clock was set back.</summary>
    private void SetLastToken(NpgsqlConnection connection)
    {
        if (Volatile.Read(ref _lastToken) is not (> 0 and var last)) return;

        var text = last.ToString(CultureInfo.InvariantCulture);
        using var command = new NpgsqlCommand(SchemaSql.SetLastToken, connection) { Parameters = { new NpgsqlParameter<string> { TypedValue = text } } };
        command.ExecuteNonQuery();
    }

    private static string RoleOf(NpgsqlConnection connection)
    {
        using var command = new NpgsqlCommand("SELECT current_user", connection);
        return DisplayText.Name((string)command.ExecuteScalar()!);
    }

    private static void Run(NpgsqlConnection connection, string statement)
    {
        using var command = new NpgsqlCommand(statement, connection);
        command.ExecuteNonQuery();
    }

    private void OnNotice(object sender, NpgsqlNoticeEventArgs notice)
    {
        if (notice.Notice.MessageText.StartsWith("JobLocks", StringComparison.Ordinal)) log.SchemaNotice(DisplayText.Message(notice.Notice.MessageText));
    }

    private static UnusableServerException Missing(string schema, int version, string why) => new(
        $"the schema {schema} {(version == 0 ? "is missing or incomplete" : $"has version {version.ToString(CultureInfo.InvariantCulture)} and not {SchemaSql.Version}")}, and {why}. "
        + $"Have docs/schema.sql run by a role that may, or set {nameof(JobLocksOptions.Schema)} = null to work without the schema: no fencing tokens, wait queue or inspection.");
}
