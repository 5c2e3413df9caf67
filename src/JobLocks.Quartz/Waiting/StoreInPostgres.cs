using System.Transactions;
using Npgsql;
using Quartz;
using Quartz.Impl.AdoJobStore.Common;

namespace JobLocks.Quartz.Waiting;

/// <summary>
/// The name of a job store in PostgreSQL: scheduler, cluster, database, schema and table prefix. It survives a cleared or restored store, and a copy in
/// another database has another one. Other databases, and a role that may not read the number of the cluster, have a mark in the store instead. Thread-safe.
/// </summary>
internal sealed class StoreInPostgres(IDbProvider provider, Func<string> scheduler, string tablePrefix, IStoreName otherwise) : IStoreName
{
    private const string Where =
        """
        SELECT (SELECT system_identifier FROM pg_catalog.pg_control_system())::text, d.oid::text, n.nspname::text, c.relname::text
        FROM   pg_catalog.pg_class AS c
        JOIN   pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        CROSS  JOIN pg_catalog.pg_database AS d
        WHERE  c.oid = pg_catalog.to_regclass($1)
        AND    d.datname = pg_catalog.current_database()
        """;

    private const string Table = "TRIGGERS";

    public async ValueTask<string> ReadAsync(string? known, CancellationToken stop)
    {
        // An ambient transaction is the application's.
        using var outside = new TransactionScope(TransactionScopeOption.Suppress, TransactionScopeAsyncFlowOption.Enabled);
        var opened = provider.CreateConnection();
        await using (opened.ConfigureAwait(false))
        {
            if (opened is not NpgsqlConnection connection) return await otherwise.ReadAsync(known, stop).ConfigureAwait(false);

            try
            {
                return await ReadAsync(connection, stop).ConfigureAwait(false);
            }
            catch (PostgresException refused) when (refused.SqlState is PostgresErrorCodes.InsufficientPrivilege or PostgresErrorCodes.UndefinedFunction)
            {
                return await otherwise.ReadAsync(known, stop).ConfigureAwait(false);
            }
        }
    }

    private async ValueTask<string> ReadAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        await connection.OpenAsync(stop).ConfigureAwait(false);
        var command = new NpgsqlCommand(Where, connection) { Parameters = { new NpgsqlParameter<string> { TypedValue = tablePrefix + Table } } };
        await using (command.ConfigureAwait(false))
        {
            var reader = await command.ExecuteReaderAsync(stop).ConfigureAwait(false);
            await using (reader.ConfigureAwait(false))
            {
                if (!await reader.ReadAsync(stop).ConfigureAwait(false)) throw new SchedulerException($"The table {tablePrefix}{Table} is not there.");

                var prefix = reader.GetString(3)[..^Table.Length];
                return $"{scheduler()} in {reader.GetString(0)}/{reader.GetString(1)}/{reader.GetString(2)}.{prefix}";
            }
        }
    }
}
