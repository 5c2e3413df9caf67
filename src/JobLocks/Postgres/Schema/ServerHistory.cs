using JobLocks.Diagnostics;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.Schema;

/// <summary>
/// The servers on which the schema has been. After a fail-over, the sequences can lack the last numbers of the previous primary: so the first session on a
/// new server or timeline advances them before it draws.
/// </summary>
internal sealed class ServerHistory(string schema, ILogger log)
{
    /// <summary>
    /// Notes the server of this connection. Logs a warning if the role may not do that, and where it cannot read the timeline: tokens are drawn nevertheless.
    /// </summary>
    /// <exception cref="NpgsqlException">The table is locked, for example. Nothing may be drawn before the next attempt.</exception>
    public void Note(NpgsqlConnection connection)
    {
        if (ReadTimeline(connection) is not var (system, timeline)) return;

        try
        {
            if (Ask(connection, ServerHistorySql.IsNoted, system, timeline) is true) return;
            if (Ask(connection, ServerHistorySql.NoteAndAdvance, system, timeline) is not null) log.ServerIsNew(schema);
        }
        catch (PostgresException denied) when (string.Equals(denied.SqlState, PostgresErrorCodes.InsufficientPrivilege, StringComparison.Ordinal))
        {
            log.MayNotAdvanceTokens(schema);
        }
    }

    private (long System, int Timeline)? ReadTimeline(NpgsqlConnection connection)
    {
        try
        {
            using var command = new NpgsqlCommand(ServerHistorySql.ReadTimeline, connection);
            using var reader = command.ExecuteReader();
            reader.Read();
            return (reader.GetInt64(0), reader.GetInt32(1));
        }
        catch (PostgresException refused) when (connection.FullState == System.Data.ConnectionState.Open)
        {
            // Some managed servers let no role look at the write-ahead log.
            log.CannotReadTimeline(refused.SqlState);
            return null;
        }
    }

    private object? Ask(NpgsqlConnection connection, string sql, long system, int timeline)
    {
        using var command = new NpgsqlCommand(SchemaSql.For(schema, sql), connection)
        {
            Parameters = { new NpgsqlParameter<long> { TypedValue = system }, new NpgsqlParameter<int> { TypedValue = timeline } },
        };
        return command.ExecuteScalar();
    }
}
