using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using JobLocks.Locks;
using JobLocks.Postgres.Session;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Runs statements on the small pool of one purpose: the wait queue or inspection. Connections are opened at the first use. Each method blocks if its caller
/// cannot await: it then awaits nothing, and the returned task has ended. Thread-safe.
/// </summary>
[SuppressMessage("Usage", "VSTHRD103:Call async methods when in an async method", Justification = "The caller says which of the two it needs.")]
internal sealed class PooledStatements(SessionConnector connector, JobLocksOptions options, PooledUse use, ServedSetting? served = null) : IDisposable
{
    private readonly ConcurrentDictionary<string, string> _texts = new(StringComparer.Ordinal);
    // Any connection of the pool, by which Dispose clears the pool. Written by several threads: each value leads to the same pool.
    private NpgsqlConnection? _anyConnection;

    /// <summary>Runs one statement and reads all rows.</summary>
    /// <exception cref="NpgsqlException">The server cannot be reached, or returns an error.</exception>
    public async ValueTask<List<T>> ReadAsync<T>(string sql, Func<NpgsqlDataReader, T> read, bool blocks, CancellationToken stop, params NpgsqlParameter[] parameters)
    {
        var connection = await OpenAsync(blocks, stop).ConfigureAwait(false);
        await using (connection.ConfigureAwait(false)) return await ReadAsync(connection, sql, read, blocks, stop, parameters).ConfigureAwait(false);
    }

    /// <summary>Runs one statement.</summary>
    /// <exception cref="NpgsqlException">The server cannot be reached, or returns an error.</exception>
    public async ValueTask RunAsync(string sql, bool blocks, CancellationToken stop, params NpgsqlParameter[] parameters) =>
        await ReadAsync(sql, static _ => 0, blocks, stop, parameters).ConfigureAwait(false);

    /// <summary>Runs the statements of <paramref name="run"/> in one transaction.</summary>
    /// <exception cref="NpgsqlException">The server cannot be reached, or returns an error.</exception>
    public async ValueTask<T> InTransactionAsync<T>(Func<NpgsqlConnection, ValueTask<T>> run, bool blocks, CancellationToken stop)
    {
        var connection = await OpenAsync(blocks, stop).ConfigureAwait(false);
        await using (connection.ConfigureAwait(false))
        {
            var transaction = blocks ? connection.BeginTransaction() : await connection.BeginTransactionAsync(stop).ConfigureAwait(false);
            await using (transaction.ConfigureAwait(false))
            {
                var result = await run(connection).ConfigureAwait(false);
                if (blocks) transaction.Commit();
                else await transaction.CommitAsync(stop).ConfigureAwait(false);
                return result;
            }
        }
    }

    /// <summary>Runs one statement on an open connection and reads all rows.</summary>
    /// <exception cref="NpgsqlException">The server cannot be reached, or returns an error.</exception>
    public async ValueTask<List<T>> ReadAsync<T>(
        NpgsqlConnection connection, string sql, Func<NpgsqlDataReader, T> read, bool blocks, CancellationToken stop, params NpgsqlParameter[] parameters)
    {
        var command = new NpgsqlCommand(_texts.GetOrAdd(sql, static (sql, options) => WaitQueueSql.For(options, sql), options), connection);
        await using (command.ConfigureAwait(false))
        {
            foreach (var parameter in parameters) command.Parameters.Add(parameter);
            var reader = blocks ? command.ExecuteReader() : await command.ExecuteReaderAsync(stop).ConfigureAwait(false);
            await using (reader.ConfigureAwait(false))
            {
                var rows = new List<T>();
                while (blocks ? reader.Read() : await reader.ReadAsync(stop).ConfigureAwait(false)) rows.Add(read(reader));
                return rows;
            }
        }
    }

    /// <summary>Closes the idle connections.</summary>
    public void Dispose()
    {
        if (_anyConnection is { } connection) NpgsqlConnection.ClearPool(connection);
    }

    private async ValueTask<NpgsqlConnection> OpenAsync(bool blocks, CancellationToken stop)
    {
        var connection = connector.Pooled(use);
        try
        {
            if (blocks) connection.Open();
            else await connection.OpenAsync(stop).ConfigureAwait(false);
            _anyConnection = connection;
            if (PooledSetUp.IsMissing(connection)) await SetUpAsync(connection, blocks, stop).ConfigureAwait(false);
            else await EnsureOwnerAsync(connection, blocks, stop).ConfigureAwait(false);
            if (served is not null) await served.WriteAsync(connection, blocks, stop).ConfigureAwait(false);
            return connection;
        }
        catch (NpgsqlException full) when (IsPoolFull(full))
        {
            await connection.DisposeAsync().ConfigureAwait(false);
            throw new NpgsqlException(
                $"All {use.Most} connections of this process for {use.Purpose} have been busy for {connection.ConnectionTimeout} s: the server takes long to answer. See pg_stat_activity there for what it waits for",
                new TimeoutException());
        }
        catch (PostgresException refused) when (UnusableServerException.IsAboutConnect(refused))
        {
            await connection.DisposeAsync().ConfigureAwait(false);
            throw ServerTrouble.Describe(connector.Server, UnusableServerException.MayNotConnect(connection, refused));
        }
        catch (NpgsqlException ended) when (connector.CanRetryAfter(ended, connection))
        {
            await connection.DisposeAsync().ConfigureAwait(false);
        }
        catch
        {
            await connection.DisposeAsync().ConfigureAwait(false);
            throw;
        }

        return await OpenAsync(blocks, stop).ConfigureAwait(false);
    }

    /// <summary>Npgsql's message advises the user to enlarge the pool. But JobLocks sets that size, so the message is replaced.</summary>
    private static bool IsPoolFull(NpgsqlException thrown) => thrown is not PostgresException && thrown.Message.Contains("'Max Pool Size'", StringComparison.Ordinal);

    private async ValueTask SetUpAsync(NpgsqlConnection connection, bool blocks, CancellationToken stop)
    {
        try
        {
            await connector.Start.RunAsync(connection, ConnectionSetUp.ForPool + use.Settings, watch: null, blocks, stop).ConfigureAwait(false);
        }
        catch (UnusableServerException pooler)
        {
            throw ServerTrouble.Describe(connector.Server, pooler);
        }

        await EnsureOwnerAsync(connection, blocks, stop).ConfigureAwait(false);
        PooledSetUp.MarkDone(connection);
    }

    /// <summary>Another role may have put an object into the schema after the connection was opened.</summary>
    private async ValueTask EnsureOwnerAsync(NpgsqlConnection connection, bool blocks, CancellationToken stop)
    {
        try
        {
            await connector.Owners.EnsureAsync(connection, blocks, stop).ConfigureAwait(false);
        }
        catch (UnusableServerException foreign)
        {
            throw ServerTrouble.Describe(connector.Server, foreign);
        }
    }
}
