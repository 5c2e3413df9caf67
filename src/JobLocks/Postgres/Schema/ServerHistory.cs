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
    /// <summary>Notes the server of this connection. Without the rights for that, and where the server does not say its timeline, logs a warning.</summary>
    /// <exception cref="NpgsqlException">The connection broke.</exception>
    public void Note(NpgsqlConnection connection)
    {
        try
        {
            if (Ask(connection, ServerHistorySql.IsNoted)) return;
            if (Ask(connection, ServerHistorySql.Advance)) log.ServerIsNew(schema);
        }
        catch (PostgresException denied) when (string.Equals(denied.SqlState, PostgresErrorCodes.InsufficientPrivilege, StringComparison.Ordinal) && IsOpen(connection))
        {
            log.MayNotAdvanceTokens(schema);
        }
        catch (PostgresException) when (IsOpen(connection))
        {
            // Some managed servers have no write-ahead log that a session may look at.
            log.NoTimeline();
        }
    }

    private static bool IsOpen(NpgsqlConnection connection) => connection.FullState == System.Data.ConnectionState.Open;

    private bool Ask(NpgsqlConnection connection, string sql)
    {
        using var command = new NpgsqlCommand(SchemaSql.For(schema, sql), connection);
        return command.ExecuteScalar() is true;
    }
}
