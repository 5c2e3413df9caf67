using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>
/// The first statement on each connection of this library. A role, a database or a connection string can carry settings that let code of other roles
/// run with the rights of this role, end statements, or make them fail. The settings are not sent as options of the connection string, except by <see
/// cref="StartOptions"/>: a pooler can refuse a client that sends any.
/// </summary>
[SuppressMessage("Usage", "VSTHRD103:Call async methods when in an async method", Justification = "The caller says which of the two it needs.")]
internal static class ConnectionSetUp
{
    private const int FirstWithIdleTimeout = 14;
    private const int FirstWithTransactionTimeout = 17;
    private const int MostTries = 50;

    /// <summary>
    /// Overrides all settings that a role can carry and that would break a statement of this library. Every name in it is qualified and no operator
    /// is used, because the search path is still the role's. From here on, the search path contains only the server's own objects: temporary objects
    /// of this session are searched last and can shadow nothing.
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
               pg_catalog.set_config('client_min_messages', 'notice', false),
               pg_catalog.set_config('joblocks.served', '', false)
        """;

    /// <summary>
    /// Plan settings for connections of the small pools. Statements are planned once, because planning takes longer than running them. They are not
    /// JIT-compiled, which takes even longer. The pool does not reset its connections: they keep no other state from one statement to the next.
    /// </summary>
    public const string ForPool =
        """
        ,
               pg_catalog.set_config('plan_cache_mode', 'force_generic_plan', false),
               pg_catalog.set_config('jit', 'off', false)
        """;

    private const string IdleTimeout = ", pg_catalog.set_config('idle_session_timeout', '0', false)";

    private const string TransactionTimeout = ", pg_catalog.set_config('transaction_timeout', '0', false)";

    // A pooler reports another process ID than that of the backend, whatever its mode.
    private const string UnlessPooler = " WHERE pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) ";

    // The shortest possible statement: it looks up no function.
    private const string EndTimeout = "SET statement_timeout TO 0";

    /// <summary>Runs the set-up on an open connection.</summary>
    /// <param name="connection">An open connection that has run no statement yet.</param>
    /// <param name="more">Further settings, such as <see cref="ForPool"/>.</param>
    /// <param name="behindPooler">Whether to run also behind a pooler.</param>
    /// <param name="blocks">Whether to run synchronously: nothing is awaited then.</param>
    /// <param name="stop">Cancels the set-up.</param>
    /// <returns>False if the connection is unchanged, because it is behind a pooler.</returns>
    /// <exception cref="AnswerCutOffException">A time-out of the role ended the answer, and the connection is closed.</exception>
    public static async ValueTask<bool> TryRunAsync(NpgsqlConnection connection, string more, bool behindPooler, bool blocks, CancellationToken stop)
    {
        var sql = Sql + more + (IsAtLeast(connection, FirstWithIdleTimeout) ? IdleTimeout : "") + (IsAtLeast(connection, FirstWithTransactionTimeout) ? TransactionTimeout : "")
            + (behindPooler ? "" : UnlessPooler + connection.ProcessID.ToString(CultureInfo.InvariantCulture));
        for (var tries = 1; ; tries++)
        {
            try
            {
                // A time-out of the role also applies to this statement. A time-out of one millisecond can end it several times on a busy machine.
                if (tries > 1) await RunOnceAsync(connection, EndTimeout, blocks, stop).ConfigureAwait(false);
                return await RunOnceAsync(connection, sql, blocks, stop).ConfigureAwait(false);
            }
            catch (PostgresException ended) when (tries < MostTries && string.Equals(ended.SqlState, PostgresErrorCodes.QueryCanceled, StringComparison.Ordinal))
            {
                // The connection is unchanged.
            }
        }
    }

    private static bool IsAtLeast(NpgsqlConnection connection, int major) => connection.PostgreSqlVersion.Major >= major;

    /// <returns>Whether the statement returned a row.</returns>
    private static async ValueTask<bool> RunOnceAsync(NpgsqlConnection connection, string sql, bool blocks, CancellationToken stop)
    {
        var command = new NpgsqlCommand(sql, connection);
        await using (command.ConfigureAwait(false))
        {
            try
            {
                return (blocks ? command.ExecuteScalar() : await command.ExecuteScalarAsync(stop).ConfigureAwait(false)) is not null;
            }
            // The driver has no type for a message that it does not expect.
            catch (Exception unexpected) when (unexpected.GetType() == typeof(Exception))
            {
                throw new AnswerCutOffException(unexpected);
            }
        }
    }
}
