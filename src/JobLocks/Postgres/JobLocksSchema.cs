using System.Globalization;
using JobLocks.Diagnostics;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres;

/// <summary>The few objects of ours in the database. Set up by the first process that comes, under a lock, so that many may come at once.</summary>
internal sealed class JobLocksSchema(JobLocksOptions options, ILogger log)
{
    // As long as the script itself waits for whoever else sets up or uses the tables.
    private static readonly TimeSpan LongestSetUp = TimeSpan.FromSeconds(60);

    /// <summary>Makes sure that they are there.</summary>
    /// <exception cref="WrongServerException">They are not there, and this role may not create them.</exception>
    public SchemaState Prepare(NpgsqlConnection connection, OpeningWatch watch)
    {
        if (options.Schema is not { } schema) return default;

        var state = Look(connection, schema);
        if (state.Version < SchemaSql.Version)
        {
            if (!options.PrepareSchema) throw Missing(schema, state.Version, $"{nameof(JobLocksOptions.PrepareSchema)} is false");

            watch.GoOn(LongestSetUp);
            Create(connection, schema, state.Version);
            watch.GoOn();
            state = Look(connection, schema);
        }

        SayWhatIsMissing(state);
        return state;
    }

    /// <summary>Says in the log what this role may not use.</summary>
    public void SayWhatIsMissing(SchemaState state)
    {
        var schema = options.Schema!;
        if (state.Fence == 0) log.NoFence(schema);
        if (!state.HasLine) log.NoLine(schema);
        if (!state.HasLedger) log.NoLedger(schema);
    }

    /// <summary>Looks what there is. Waits for nothing.</summary>
    public static SchemaState Look(NpgsqlConnection connection, string schema)
    {
        using var command = new NpgsqlCommand(SchemaSql.Look, connection) { Parameters = { new NpgsqlParameter<string> { TypedValue = schema } } };
        using var reader = command.ExecuteReader();
        reader.Read();
        return new(reader.GetInt32(0), reader.GetBoolean(2) ? (uint)reader.GetInt64(1) : 0, reader.GetBoolean(3), reader.GetBoolean(4));
    }

    private void Create(NpgsqlConnection connection, string schema, int version)
    {
        try
        {
            connection.Notice += OnNotice;
            // In one transaction, which the script opens and ends itself.
            foreach (var statement in SchemaSql.StatementsFor(schema))
            {
                Run(connection, statement);
                // It was waited for, and whoever had it has done all of this: changing tables once more would be in the way of those who use them.
                if (statement.EndsWith(SchemaSql.OneAtATime, StringComparison.Ordinal) && Look(connection, schema).Version >= SchemaSql.Version)
                {
                    Run(connection, "ROLLBACK");
                    return;
                }
            }

            log.SchemaReady(schema, SchemaSql.Version);
        }
        catch (PostgresException denied) when (string.Equals(denied.SqlState, PostgresErrorCodes.InsufficientPrivilege, StringComparison.Ordinal))
        {
            throw Missing(schema, version, $"this role may not create it ({denied.MessageText})");
        }
        finally
        {
            connection.Notice -= OnNotice;
        }
    }

    private static void Run(NpgsqlConnection connection, string statement)
    {
        using var command = new NpgsqlCommand(statement, connection);
        command.ExecuteNonQuery();
    }

    private void OnNotice(object sender, NpgsqlNoticeEventArgs said)
    {
        if (said.Notice.MessageText.StartsWith("JobLocks", StringComparison.Ordinal)) log.SchemaNotice(said.Notice.MessageText);
    }

    private static WrongServerException Missing(string schema, int version, string why) => new(
        $"the schema {schema} {(version == 0 ? "is not there" : $"has version {version.ToString(CultureInfo.InvariantCulture)} and not {SchemaSql.Version}")}, and {why}. "
        + $"Have docs/schema.sql run by a role that may, or set {nameof(JobLocksOptions.Schema)} = null to go without fencing tokens and what else needs it.");
}
