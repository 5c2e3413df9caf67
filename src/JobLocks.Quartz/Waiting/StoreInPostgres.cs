using System.Transactions;
using JobLocks.WaitQueue;
using Npgsql;
using Quartz;
using Quartz.Impl.AdoJobStore.Common;

namespace JobLocks.Quartz.Waiting;

/// <summary>
/// The id of a job store in PostgreSQL: scheduler, cluster, database, schema and table prefix. The id survives a cleared or restored store, and a copy in
/// another database has another id. If the role may not read the system identifier of the cluster, it uses an identifier that is recorded in the store, which
/// another node has written or this node generates. Thread-safe.
/// </summary>
internal sealed class StoreInPostgres(IDbProvider provider, Func<string> scheduler, string tablePrefix, StoreIdInJob storeIdInJob) : IStoreId
{
    // The search path of the connection is the application's. Only the table of Quartz is found through it. Every other name is schema-qualified, so that no
    // function, operator or type of another role can run instead.
    private const string Cluster = "SELECT system_identifier::pg_catalog.text FROM pg_catalog.pg_control_system()";

    private const string ReadLocation =
        """
        SELECT d.oid::pg_catalog.text, n.nspname::pg_catalog.text, c.relname::pg_catalog.text
        FROM   pg_catalog.pg_class AS c
        JOIN   pg_catalog.pg_namespace AS n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
        CROSS  JOIN pg_catalog.pg_database AS d
        WHERE  c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1)
        AND    d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
        """;

    private const string Table = "TRIGGERS";

    // Written only by ReadAsync, which QuartzRuns calls on one thread at a time.
    private volatile OtherStoreIds _otherIds = OtherStoreIds.None;

    public OtherStoreIds OtherIds => _otherIds;

    public async ValueTask<string> ReadAsync(string? known, CancellationToken stop)
    {
        // An ambient transaction belongs to the application.
        using var noTransaction = new TransactionScope(TransactionScopeOption.Suppress, TransactionScopeAsyncFlowOption.Enabled);
        var opening = provider.CreateConnection();
        await using (opening.ConfigureAwait(false))
        {
            if (opening is not NpgsqlConnection connection) return await storeIdInJob.ReadAsync(known, stop).ConfigureAwait(false);

            try
            {
                await connection.OpenAsync(stop).ConfigureAwait(false);
                return await ReadAsync(connection, stop).ConfigureAwait(false);
            }
            catch (PostgresException refused) when (IsRefused(refused))
            {
                return await storeIdInJob.ReadAsync(known, stop).ConfigureAwait(false);
            }
        }
    }

    private async ValueTask<string> ReadAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        var rows = await AskAsync(connection, ReadLocation, static row => (Database: row.GetString(0), Schema: row.GetString(1), Table: row.GetString(2)), stop, tablePrefix + Table).ConfigureAwait(false);
        if (rows is not [var (database, schema, table)]) throw new SchedulerException($"The table {tablePrefix}{Table} is not there.");

        var locations = new RecordedLocations(connection, scheduler(), tablePrefix);
        var cluster = await locations.ClusterAsync(database, await ClusterAsync(connection, stop).ConfigureAwait(false), stop).ConfigureAwait(false);
        var id = IdIn(cluster);
        // A node whose scheduler was built without JobLocks knows its store only by the id in the job.
        var former = await storeIdInJob.ReplaceIdAsync(id, stop).ConfigureAwait(false);
        string[] replaced = former is null ? [] : [former];
        _otherIds = new(
            [.. _otherIds.Aliases.Concat(replaced).Concat(locations.GeneratedIn(database).Select(IdIn)).Distinct(StringComparer.Ordinal).Except([id], StringComparer.Ordinal)],
            [.. locations.Origins(database).Select(origin => $"{scheduler()} in {origin}/")]);
        return id;

        string IdIn(string cluster) => $"{scheduler()} in {cluster}/{database}/{schema}.{table[..^Table.Length]}";
    }

    /// <summary>The system identifier of the cluster; null if this role may not read it.</summary>
    private static async ValueTask<string?> ClusterAsync(NpgsqlConnection connection, CancellationToken stop)
    {
        try
        {
            return (await AskAsync(connection, Cluster, static row => row.GetString(0), stop).ConfigureAwait(false))[0];
        }
        catch (PostgresException refused) when (IsRefused(refused))
        {
            return null;
        }
    }

    public static bool IsRefused(PostgresException refused) => refused.SqlState is PostgresErrorCodes.InsufficientPrivilege or PostgresErrorCodes.UndefinedFunction;

    public static async ValueTask<List<T>> AskAsync<T>(NpgsqlConnection connection, string sql, Func<NpgsqlDataReader, T> read, CancellationToken stop, params string[] parameters)
    {
        var command = new NpgsqlCommand(sql, connection);
        await using (command.ConfigureAwait(false))
        {
            foreach (var parameter in parameters) command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = parameter });
            var reader = await command.ExecuteReaderAsync(stop).ConfigureAwait(false);
            await using (reader.ConfigureAwait(false))
            {
                var rows = new List<T>();
                while (await reader.ReadAsync(stop).ConfigureAwait(false)) rows.Add(read(reader));
                return rows;
            }
        }
    }
}
