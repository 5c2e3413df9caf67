using System.Globalization;
using Hangfire;
using Hangfire.States;
using Npgsql;

namespace JobLocks.Hangfire;

/// <summary>
/// Reads the queue into which a job of a Hangfire.PostgreSql storage was put last, in one statement. Hangfire's own interface reads the job with its
/// parameters and its whole history, in four.
/// </summary>
internal static class LastQueueInPostgres
{
    // {0} is the schema of the storage. The search path of the connection is the application's: every name is schema-qualified.
    private const string Find =
        """
        SELECT   s.data::pg_catalog.jsonb OPERATOR(pg_catalog.->>) 'Queue'::pg_catalog.text
        FROM     "{0}"."state" AS s
        WHERE    s.jobid OPERATOR(pg_catalog.=) $1
        AND      s.name OPERATOR(pg_catalog.=) $2
        ORDER BY s.id DESC
        LIMIT    1
        """;

    /// <summary>The queue; an empty text if the job was never in a queue; null if its history must be read through Hangfire's interface.</summary>
    /// <exception cref="Exception">The server cannot be asked.</exception>
    public static string? Of(JobStorage storage, string jobId)
    {
        using var noTransaction = AmbientTransaction.Suppress();
        try
        {
            return StorageInPostgres.Query(storage, (connection, schema) => Read(connection, schema, jobId));
        }
        catch (PostgresException unreadable) when (unreadable.SqlState is PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.UndefinedColumn
            or PostgresErrorCodes.InsufficientPrivilege or PostgresErrorCodes.InvalidTextRepresentation)
        {
            return null;
        }
    }

    private static string Read(NpgsqlConnection connection, string schema, string jobId)
    {
        using var command = new NpgsqlCommand(Find.Replace("{0}", schema.Replace("\"", "\"\"", StringComparison.Ordinal), StringComparison.Ordinal), connection)
        {
            Parameters =
            {
                new NpgsqlParameter<long> { TypedValue = long.Parse(jobId, CultureInfo.InvariantCulture) },
                new NpgsqlParameter<string> { TypedValue = EnqueuedState.StateName },
            },
        };
        return command.ExecuteScalar() as string ?? "";
    }
}
