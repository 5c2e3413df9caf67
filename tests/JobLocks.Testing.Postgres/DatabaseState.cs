using Npgsql;

namespace JobLocks.Testing.Postgres;

/// <summary>
/// Reads the state of a database, for tests that poll it. Idle connections stay open for a second: a new connection for each look takes processor time from
/// what the test waits for. A connection string with <c>Pooling=false</c> gets a connection for each look. Thread-safe.
/// </summary>
public static class DatabaseState
{
    private const int IdleSeconds = 1;

    /// <summary>How long a test that polls waits between two looks.</summary>
    public static readonly TimeSpan LookAgainAfter = TimeSpan.FromMilliseconds(20);

    /// <summary>Runs a statement.</summary>
    /// <returns>The first column of its first row; null where there is none.</returns>
    public static Task<object?> ReadAsync(string connectionString, string sql, params object[] parameters) =>
        RunAsync(connectionString, sql, static command => command.ExecuteScalarAsync(), parameters);

    /// <summary>Runs a statement and reads all its rows.</summary>
    public static Task<IReadOnlyList<T>> ReadAllAsync<T>(string connectionString, string sql, Func<NpgsqlDataReader, T> read, params object[] parameters) =>
        RunAsync<IReadOnlyList<T>>(
            connectionString,
            sql,
            async command =>
            {
                await using var reader = await command.ExecuteReaderAsync();
                var rows = new List<T>();
                while (await reader.ReadAsync()) rows.Add(read(reader));
                return rows;
            },
            parameters);

    private static async Task<T> RunAsync<T>(string connectionString, string sql, Func<NpgsqlCommand, Task<T>> run, object[] parameters)
    {
        if (ActsOrChangesSession(sql) || !new NpgsqlConnectionStringBuilder(connectionString).Pooling) return await RunOnAsync(Connection(connectionString, isPooled: false), sql, run, parameters);

        var pooled = Connection(connectionString, isPooled: true);
        try
        {
            return await RunOnAsync(pooled, sql, run, parameters);
        }
        catch (NpgsqlException broken) when (broken is not PostgresException { SqlState: not ['5', '7', 'P', '0', ..] })
        {
            // The test has ended this session, or restarted the server, since the last look.
            NpgsqlConnection.ClearPool(pooled);
            return await RunOnAsync(Connection(connectionString, isPooled: false), sql, run, parameters);
        }
    }

    private static async Task<T> RunOnAsync<T>(NpgsqlConnection connection, string sql, Func<NpgsqlCommand, Task<T>> run, object[] parameters)
    {
        await using (connection)
        {
            await connection.OpenAsync();
            await using var command = new NpgsqlCommand(sql, connection);
            foreach (var parameter in parameters) command.Parameters.Add(new() { Value = parameter });
            return await run(command);
        }
    }

    /// <summary>
    /// Whether a statement may not run twice, or its session keeps something of it, an advisory lock or a setting, until the session ends.
    /// </summary>
    private static bool ActsOrChangesSession(string sql) =>
        !sql.TrimStart().StartsWith("SELECT", StringComparison.OrdinalIgnoreCase)
        || sql.Contains("_advisory_", StringComparison.OrdinalIgnoreCase)
        || sql.Contains("set_config", StringComparison.OrdinalIgnoreCase)
        || sql.Contains("pg_terminate_backend", StringComparison.OrdinalIgnoreCase);

    private static NpgsqlConnection Connection(string connectionString, bool isPooled)
    {
        var settings = new NpgsqlConnectionStringBuilder(connectionString) { Pooling = isPooled };
        if (isPooled) (settings.MinPoolSize, settings.ConnectionIdleLifetime, settings.ConnectionPruningInterval) = (0, IdleSeconds, IdleSeconds);
        return new(settings.ConnectionString);
    }
}
