using System.Globalization;
using JobLocks.Diagnostics;
using JobLocks.Locks;
using JobLocks.Postgres.Session;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.Schema;

/// <summary>The few objects of ours in the database. Set up by the first process that comes, under a lock, so that many may come at once.</summary>
internal sealed class JobLocksSchema(JobLocksOptions options, OwnerCheck owners, ILogger log)
{
    private const string RollbackSql = "ROLLBACK";

    private long _lastToken;

    /// <summary>A session has drawn a fencing token.</summary>
    public void NoteToken(long token)
    {
        // Two sessions, of which one is lost, may come at once. A new sequence starts far enough above for that.
        if (token > Volatile.Read(ref _lastToken)) Volatile.Write(ref _lastToken, token);
    }

    /// <summary>Makes sure that they are there.</summary>
    /// <exception cref="WrongServerException">They are not there, and this role may not create them; or they belong to a foreign role.</exception>
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
        return state;
    }

    /// <summary>Says in the log what this role may not use.</summary>
    public void LogUnusableParts(SchemaState state)
    {
        var schema = options.Schema!;
        if (state.Fence == 0) log.NoFence(schema);
        if (!state.HasWaitQueue) log.NoLine(schema);
        if (!state.HasReadModel) log.NoLedger(schema);
        if (!state.HasLimits) log.NoLimits(schema);
    }

    /// <summary>Looks what there is. Waits for nothing.</summary>
    public static SchemaState Read(NpgsqlConnection connection, string schema)
    {
        using var command = new NpgsqlCommand(SchemaSql.Look, connection) { Parameters = { new NpgsqlParameter<string> { TypedValue = schema } } };
        using var reader = command.ExecuteReader();
        reader.Read();
        return new(reader.GetInt32(0), reader.GetBoolean(2) ? (uint)reader.GetInt64(1) : 0, reader.GetBoolean(3), reader.GetBoolean(4), reader.GetBoolean(5));
    }

    private void Create(NpgsqlConnection connection, string schema, int version, OpeningWatch watch)
    {
        // Not the login, where that begins as another role. An error leaves a transaction in which nothing can be asked.
        var role = RoleOf(connection);
        try
        {
            connection.Notice += OnNotice;
            SetLastToken(connection);
            // In one transaction, which the script opens and ends itself.
            foreach (var statement in SchemaSql.StatementsFor(schema))
            {
                if (!statement.EndsWith(SchemaSql.ScriptLock, StringComparison.Ordinal))
                {
                    Run(connection, statement);
                    continue;
                }

                new SetUpLock(connection, watch, schema, log).Acquire();
                // It was waited for, and whoever had it has done all of this: changing tables once more would be in the way of those who use them.
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

    /// <summary>A sequence that is made again starts above it, also where the server's clock was set back.</summary>
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

    private static WrongServerException Missing(string schema, int version, string why) => new(
        $"the schema {schema} {(version == 0 ? "is not there" : $"has version {version.ToString(CultureInfo.InvariantCulture)} and not {SchemaSql.Version}")}, and {why}. "
        + $"Have docs/schema.sql run by a role that may, or set {nameof(JobLocksOptions.Schema)} = null to go without fencing tokens and what else needs it.");
}
