using System.Diagnostics.CodeAnalysis;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>
/// The first statement on each connection of ours. A role, a database or a connection string can carry settings that let code of other roles run with our
/// rights, end statements, or make them fail. Not by options of the connection string: a pooler refuses a client that comes with any.
/// </summary>
[SuppressMessage("Usage", "VSTHRD103:Call async methods when in an async method", Justification = "The caller says which of the two it needs.")]
internal static class ConnectionSetUp
{
    private const int FirstWithIdleTimeout = 14;
    private const int FirstWithTransactionTimeout = 17;
    private const int MostTries = 50;

    /// <summary>
    /// Says all settings that a role may carry and that would break a statement of ours. Every name in it stands with its schema and no operator is used, since the
    /// search path is not ours yet. From here on it has the server's own objects only: temporary ones of this session come last and can shadow nothing.
    /// </summary>
    public const string Sql =
        """
        SELECT pg_catalog.set_config('statement_timeout', '0', false),
               pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false),
               pg_catalog.set_config('lock_timeout', '0', false),
               pg_catalog.set_config('idle_in_transaction_session_timeout', '0', false),
               pg_catalog.set_config('default_transaction_read_only', 'off', false),
               pg_catalog.set_config('default_transaction_isolation', 'read committed', false),
               pg_catalog.set_config('default_transaction_deferrable', 'off', false),
               pg_catalog.set_config('standard_conforming_strings', 'on', false),
               pg_catalog.set_config('DateStyle', 'ISO, MDY', false),
               pg_catalog.set_config('IntervalStyle', 'postgres', false),
               pg_catalog.set_config('bytea_output', 'hex', false),
               pg_catalog.set_config('array_nulls', 'on', false),
               pg_catalog.set_config('transform_null_equals', 'off', false),
               pg_catalog.set_config('client_min_messages', 'notice', false)
        """;

    /// <summary>
    /// How to plan on connections of our small pool: once only, since planning takes longer than the statements do, and without compiling them, which takes longer still.
    /// The pool does not reset its connections, which carry nothing else from one statement to the next.
    /// </summary>
    public const string ForPool =
        """
        ,
               pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', false),
               pg_catalog.set_config('jit', 'off', false)
        """;

    private const string IdleTimeout = ", pg_catalog.set_config('idle_session_timeout', '0', false)";

    private const string TransactionTimeout = ", pg_catalog.set_config('transaction_timeout', '0', false)";

    // Nothing is looked up for it, and so it is the shortest statement that there is.
    private const string EndTimeout = "SET statement_timeout TO 0";

    /// <summary>Runs it on an open connection.</summary>
    /// <param name="connection">On which nothing was asked yet.</param>
    /// <param name="more">What else to set, such as <see cref="ForPool"/>.</param>
    /// <param name="blocks">Whether the caller has no asynchronous way: nothing is awaited then.</param>
    /// <param name="stop">Gives up.</param>
    public static async ValueTask RunAsync(NpgsqlConnection connection, string more, bool blocks, CancellationToken stop)
    {
        var sql = Sql + more + (Since(connection, FirstWithIdleTimeout) ? IdleTimeout : "") + (Since(connection, FirstWithTransactionTimeout) ? TransactionTimeout : "");
        for (var tries = 1; ; tries++)
        {
            try
            {
                // A time-out that the role carries holds for this statement itself: of a millisecond, on a busy machine, it may be too short several times.
                if (tries > 1) await RunOnceAsync(connection, EndTimeout, blocks, stop).ConfigureAwait(false);
                await RunOnceAsync(connection, sql, blocks, stop).ConfigureAwait(false);
                return;
            }
            catch (PostgresException ended) when (tries < MostTries && string.Equals(ended.SqlState, PostgresErrorCodes.QueryCanceled, StringComparison.Ordinal))
            {
                // The connection is as it was.
            }
        }
    }

    private static bool Since(NpgsqlConnection connection, int major) => connection.PostgreSqlVersion.Major >= major;

    private static async ValueTask RunOnceAsync(NpgsqlConnection connection, string sql, bool blocks, CancellationToken stop)
    {
        var command = new NpgsqlCommand(sql, connection);
        await using (command.ConfigureAwait(false))
        {
            if (blocks) command.ExecuteNonQuery();
            else await command.ExecuteNonQueryAsync(stop).ConfigureAwait(false);
        }
    }
}
