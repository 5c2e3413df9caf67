using JobLocks.Locks;
using JobLocks.Postgres.Schema;
using JobLocks.Primitives;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>
/// Recognises an engine that speaks the protocol of PostgreSQL and lacks something that the opening of a session uses. The error stays until a person
/// changes the connection string, so it stops the host.
/// </summary>
internal static class EngineGap
{
    private const string InvalidParameterValue = "22023";
    private const string FeatureNotSupported = "0A000";
    private const string SyntaxError = "42601";

    /// <summary>Runs statements of the opening, which are the same for each server.</summary>
    /// <param name="connection">An open connection.</param>
    /// <param name="schema">The schema of this library, which another session can drop at any time; null if the statements do not use it.</param>
    /// <param name="statements">Runs the statements.</param>
    /// <exception cref="UnusableServerException">The engine lacks something.</exception>
    public static T Explain<T>(NpgsqlConnection connection, string? schema, Func<T> statements)
    {
        try
        {
            return statements();
        }
        catch (PostgresException refused) when (IsGap(refused, schema))
        {
            throw UnusableServerException.EngineLacks($"{refused.SqlState}: {refused.MessageText}", EngineOf(connection));
        }
    }

    /// <summary>What the server says about its version: the name of the engine is not in the number of the version.</summary>
    public static string EngineOf(NpgsqlConnection connection)
    {
        try
        {
            // After an error, the transaction of the schema script is still open.
            foreach (var sql in new[] { "ROLLBACK", "SELECT pg_catalog.version()" })
            {
                using var command = new NpgsqlCommand(sql, connection);
                if (command.ExecuteScalar() is string version) return DisplayText.Name(version);
            }
        }
        catch (Exception unknown) when (unknown is NpgsqlException or InvalidOperationException)
        {
            // The connection is closed, or the engine lacks this function too.
        }

        return "an engine of unknown version";
    }

    private static bool IsGap(PostgresException refused, string? schema) => refused.SqlState switch
    {
        FeatureNotSupported or SyntaxError or InvalidParameterValue => true,
        PostgresErrorCodes.UndefinedObject or PostgresErrorCodes.UndefinedFunction or PostgresErrorCodes.UndefinedTable
            or PostgresErrorCodes.UndefinedColumn or PostgresErrorCodes.InvalidSchemaName => schema is null || !IsAbout(schema, refused.MessageText),
        _ => false,
    };

    /// <summary>
    /// Whether an error names an object of the schema: the schema was dropped or changed after it was read, and the next opening creates it again. Names are the
    /// same in every language of the server. Errors about a column name its table without the schema.
    /// </summary>
    private static bool IsAbout(string schema, string message) =>
        message.Contains($"{schema}.", StringComparison.Ordinal) || SchemaObjects.Tables.Append(schema).Any(name => message.Contains($"\"{name}\"", StringComparison.Ordinal));
}
