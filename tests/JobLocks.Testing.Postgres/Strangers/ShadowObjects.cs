using System.Globalization;
using System.Text;
using Npgsql;

namespace JobLocks.Testing.Postgres;

/// <summary>
/// What a role that may create in <c>public</c> can put there: functions, aggregates, operators, views and types named like the server's own, which match a
/// call more closely or come first in a search path, and answer as the server's do. Each counts its calls by connections that have an application name.
/// </summary>
public sealed class ShadowObjects
{
    /// <summary>The schema of what counts.</summary>
    public const string Counters = "strangers";

    /// <summary>The function that tells whether a call is counted.</summary>
    internal const string IsCounted = $"{Counters}.is_counted";

    // The connections of a scheduler's own storage have names in some tests.
    private const string HasName =
        "pg_catalog.current_setting('application_name') OPERATOR(pg_catalog.<>) '' AND NOT pg_catalog.starts_with(pg_catalog.current_setting('application_name'), 'Hangfire of ')";

    // The server counts the calls of functions itself, beside all transactions: also of those that may not write, or fail.
    private const string CountCalls = "SET track_functions = 'pl'";

    private readonly string _script;

    private ShadowObjects(string script, int count) => (_script, Count) = (script, count);

    /// <summary>How many are planted.</summary>
    public int Count { get; }

    /// <summary>Prepares shadows of all that occurs in SQL texts.</summary>
    /// <param name="database">A database of the server that will get them.</param>
    /// <param name="words">What occurs in the texts.</param>
    /// <param name="onlyCloser">Whether to leave out those that have the signature of the server's own: they matter only where a search path has <c>public</c> first.</param>
    /// <param name="stop">Gives up.</param>
    public static async Task<ShadowObjects> OfAsync(string database, SqlWords words, bool onlyCloser, CancellationToken stop)
    {
        await using var connection = await OpenAsync(database, stop);
        var statements = await ShadowStatements.ReadAsync(connection, words, onlyCloser, stop);
        var script = new StringBuilder();
        foreach (var statement in statements) script.Append(CultureInfo.InvariantCulture, $"BEGIN {statement}; made := made + 1; EXCEPTION WHEN OTHERS THEN skipped := skipped || SQLERRM || '; '; END;\n");
        var shadows = new ShadowObjects(
            $"""
            DO $plant$
            DECLARE
                made    int  := 0;
                skipped text := '';
            BEGIN
            {script}
                EXECUTE pg_catalog.format('COMMENT ON SCHEMA {Counters} IS %L', made || ' made, skipped: ' || skipped);
            END
            $plant$
            """,
            statements.Count);
        return shadows;
    }

    /// <summary>Puts them into a database, as its owner or a superuser may let a stranger do.</summary>
    /// <param name="database">Where to.</param>
    /// <param name="stop">Gives up.</param>
    /// <param name="statements">Whose calls are counted; null for those of all statements.</param>
    /// <returns>How many the server accepted, and why it did not accept others.</returns>
    public async Task<string> PlantAsync(string database, CancellationToken stop, IReadOnlyCollection<string>? statements = null)
    {
        await using var connection = await OpenAsync(database, stop);
        await CountCallsAsync(connection, stop);
        await RunAsync(connection, $"CREATE SCHEMA {Counters}; GRANT USAGE ON SCHEMA {Counters} TO PUBLIC", stop);
        await RunAsync(connection, $"CREATE FUNCTION {IsCounted}() RETURNS boolean LANGUAGE plpgsql AS $is$BEGIN RETURN {HasName}{Only(statements)}; END$is$", stop);
        await RunAsync(connection, _script, stop);
        return (string)(await RunAsync(connection, $"SELECT pg_catalog.obj_description('{Counters}'::pg_catalog.regnamespace, 'pg_namespace')", stop))!;
    }

    /// <summary>Has the server count the calls in a database that was copied from one with shadows.</summary>
    internal static async Task CountCallsAsync(string database, CancellationToken stop)
    {
        await using var connection = await OpenAsync(database, stop);
        await CountCallsAsync(connection, stop);
    }

    private static Task<object?> CountCallsAsync(NpgsqlConnection connection, CancellationToken stop) =>
        RunAsync(connection, $"ALTER DATABASE {new NpgsqlCommandBuilder().QuoteIdentifier(connection.Database)} {CountCalls}", stop);

    /// <summary>
    /// Which of them were called in a database, and how often, such as <c>count: 3</c>. All connections to it that have a name must be closed: the server
    /// counts what a connection has done at its end.
    /// </summary>
    public static async Task<IReadOnlyList<string>> CallsAsync(string database, CancellationToken stop)
    {
        await using var connection = await OpenAsync(database, stop);
        while (await RunAsync(connection, Others, stop) is > 0L) stop.ThrowIfCancellationRequested();

        await using var command = new NpgsqlCommand(
            $"SELECT s.funcname || ': ' || s.calls FROM pg_catalog.pg_stat_user_functions AS s WHERE s.schemaname = '{Counters}' AND s.calls > 0 AND s.funcname !~ '^((op|step)_[0-9]+|is_counted)$' ORDER BY s.calls DESC", connection);
        await using var reader = await command.ExecuteReaderAsync(stop);
        var calls = new List<string>();
        while (await reader.ReadAsync(stop)) calls.Add(reader.GetString(0));
        return calls;
    }

    private const string Others =
        """
        SELECT pg_catalog.count(*)
        FROM   pg_catalog.pg_stat_activity AS a
        WHERE  a.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
        AND    a.application_name OPERATOR(pg_catalog.<>) ''
        AND    a.backend_type OPERATOR(pg_catalog.=) 'client backend'
        """;

    private static string Only(IReadOnlyCollection<string>? statements) => statements is null ? "" :
        $" AND pg_catalog.current_query() OPERATOR(pg_catalog.=) ANY (ARRAY[{string.Join(", ", statements.Select(static sql => $"'{sql.Replace("'", "''", StringComparison.Ordinal)}'"))}])";

    /// <summary>Without a name, so that it is not counted, and with the server's own functions only.</summary>
    private static async Task<NpgsqlConnection> OpenAsync(string database, CancellationToken stop)
    {
        var settings = new NpgsqlConnectionStringBuilder(database) { Pooling = false, SearchPath = "pg_catalog", ApplicationName = "", CommandTimeout = 120 };
        var connection = new NpgsqlConnection(settings.ConnectionString);
        await connection.OpenAsync(stop);
        return connection;
    }

    private static async Task<object?> RunAsync(NpgsqlConnection connection, string sql, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync(stop);
    }
}
