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
    /// <returns>
    /// The sequence of the fencing tokens, 0 where there is none, or where it is not ours to use; whether runs can stand in the line;
    /// and whether it can be written down who holds what.
    /// </returns>
    /// <exception cref="WrongServerException">They are not there, and this role may not create them.</exception>
    public (uint Fence, bool HasLine, bool HasLedger) Prepare(NpgsqlConnection connection, OpeningWatch watch)
    {
        if (options.Schema is not { } schema) return (0, false, false);

        var (version, fence, mayUse, mayWait, mayRecord) = Look(connection, schema);
        if (version < SchemaSql.Version)
        {
            if (!options.PrepareSchema) throw Missing(schema, version, $"{nameof(JobLocksOptions.PrepareSchema)} is false");

            watch.GoOn(LongestSetUp);
            Create(connection, schema, version);
            watch.GoOn();
            (_, fence, mayUse, mayWait, mayRecord) = Look(connection, schema);
        }

        if (!mayUse) log.NoFence(schema);
        if (!mayWait) log.NoLine(schema);
        if (!mayRecord) log.NoLedger(schema);
        return (mayUse ? fence : 0, mayWait, mayRecord);
    }

    private static (int Version, uint Fence, bool MayUse, bool MayWait, bool MayRecord) Look(NpgsqlConnection connection, string schema)
    {
        using var command = new NpgsqlCommand(SchemaSql.Look, connection) { Parameters = { new NpgsqlParameter<string> { TypedValue = schema } } };
        using var reader = command.ExecuteReader();
        reader.Read();
        return (reader.GetInt32(0), (uint)reader.GetInt64(1), reader.GetBoolean(2), reader.GetBoolean(3), reader.GetBoolean(4));
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
