using JobLocks.Postgres.Locks;
using JobLocks.Postgres.Session;
using JobLocks.Postgres.WaitQueue;
using JobLocks.Primitives;
using Npgsql;

namespace JobLocks.Postgres.Reading;

/// <summary>Runs the statements of the inspection, even where the schema does not exist or may not be read. Thread-safe, except on a snapshot.</summary>
internal sealed class InspectionReader(LockDispatcher dispatcher, PooledStatements statements, JobLocksOptions options, InspectionThrottle throttle, TimeSpan timeout)
{
    private const string OneSnapshot = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";

    private readonly NpgsqlConnection? _snapshot;

    private InspectionReader(InspectionReader reader, NpgsqlConnection snapshot)
        : this(reader.Dispatcher, reader.Statements, reader.Options, reader.Throttle, reader.Timeout) => _snapshot = snapshot;

    private LockDispatcher Dispatcher => dispatcher;

    private PooledStatements Statements => statements;

    private JobLocksOptions Options => options;

    private InspectionThrottle Throttle => throttle;

    private TimeSpan Timeout => timeout;

    /// <summary>A reader that uses the same connections, and waits for a free one as long as its caller wants.</summary>
    public InspectionReader WithTimeout(TimeSpan otherTimeout) => new(dispatcher, statements, options, throttle, otherTimeout);

    /// <summary>
    /// Reads everything from one snapshot of the tables, so that it is consistent. The lock table of the server is not part of a snapshot, so it
    /// should be read once.
    /// </summary>
    public async Task<T> InOneSnapshotAsync<T>(Func<InspectionReader, Task<T>> read, CancellationToken stop)
    {
        if (options.Schema is null) return await read(this).ConfigureAwait(false);

        try
        {
            return await DescribeErrorsAsync(() => throttle.ReadAsync(() => statements.InTransactionAsync(
                async connection =>
                {
                    var command = new NpgsqlCommand(OneSnapshot, connection);
                    await using (command.ConfigureAwait(false)) await command.ExecuteNonQueryAsync(stop).ConfigureAwait(false);
                    return await read(new(this, connection)).ConfigureAwait(false);
                },
                blocks: false,
                stop), timeout, stop)).ConfigureAwait(false);
        }
        catch (PostgresException error) when (IsAboutSchema(error))
        {
            // The error has ended the transaction. Each statement is run again by itself.
            return await read(this).ConfigureAwait(false);
        }
    }

    /// <summary>Runs a statement, and says whether the schema could be read. Where it could not, the statement runs on empty tables.</summary>
    public async Task<(List<T> Rows, bool HasSchema)> QueryAsync<T>(string sql, Func<NpgsqlDataReader, T> read, CancellationToken stop, params NpgsqlParameter[] parameters)
    {
        if (options.Schema is not null)
        {
            try
            {
                return (await ReadAsync(sql, read, parameters, stop).ConfigureAwait(false), true);
            }
            catch (PostgresException error) when (_snapshot is null && IsAboutSchema(error))
            {
                // The schema does not exist yet, or this role may not read it.
            }
        }

        try
        {
            return (await ReadAsync(InspectionSources.WithoutSchema(sql), read, [.. parameters.Select(static parameter => parameter.Clone())], stop).ConfigureAwait(false), false);
        }
        catch (PostgresException error) when (string.Equals(error.SqlState, PostgresErrorCodes.InsufficientPrivilege, StringComparison.Ordinal))
        {
            throw new UnauthorizedAccessException($"This role may not do that: {DisplayText.Message(error.MessageText)}. Ending a session of another role needs pg_signal_backend.", error);
        }
    }

    /// <summary>Runs a statement that needs the schema. Returns no rows where the schema cannot be read.</summary>
    public async Task<(List<T> Rows, bool HasSchema)> QuerySchemaAsync<T>(string sql, Func<NpgsqlDataReader, T> read, CancellationToken stop, params NpgsqlParameter[] parameters)
    {
        if (options.Schema is null) return ([], false);

        try
        {
            return (await ReadAsync(sql, read, parameters, stop).ConfigureAwait(false), true);
        }
        catch (PostgresException error) when (_snapshot is null && IsAboutSchema(error))
        {
            return ([], false);
        }
    }

    /// <summary>Runs a statement. The caller handles the error where the schema cannot be used.</summary>
    public Task<List<T>> ReadAsync<T>(string sql, Func<NpgsqlDataReader, T> read, NpgsqlParameter[] parameters, CancellationToken stop) => _snapshot is { } connection
        ? statements.ReadAsync(connection, sql, read, blocks: false, stop, parameters).AsTask()
        : DescribeErrorsAsync(() => throttle.ReadAsync(() => statements.ReadAsync(sql, read, blocks: false, stop, parameters), timeout, stop));

    /// <summary>Whether a statement failed because of the schema.</summary>
    public static bool IsAboutSchema(Exception error) => (error as PostgresException)?.SqlState
        is PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.InvalidSchemaName or PostgresErrorCodes.InsufficientPrivilege or PostgresErrorCodes.UndefinedColumn;

    private async Task<T> DescribeErrorsAsync<T>(Func<ValueTask<T>> action)
    {
        try
        {
            return await action().ConfigureAwait(false);
        }
        catch (PostgresException error) when (SessionConnection.IsLocked(error))
        {
            throw new JobLocksUnavailableException(await DescribeLockedAsync().ConfigureAwait(false), error) { InspectionErrorTitle = "A table that the pages read is locked" };
        }
        catch (Exception error) when (error is TimeoutException || (error is NpgsqlException && !IsAboutSchema(error)))
        {
            throw ServerTrouble.Describe(dispatcher.Server, error);
        }
    }

    private async Task<string> DescribeLockedAsync()
    {
        const string After = "so it cannot be shown for now. Runs go on.";
        try
        {
            var found = await statements.ReadAsync(
                LockedTableSql.Find,
                static row => (Table: row.GetString(0), Backend: row.GetInt32(1), Application: row.GetValue(2) as string),
                blocks: false,
                CancellationToken.None,
                new NpgsqlParameter<string> { TypedValue = options.Schema ?? "" }).ConfigureAwait(false);
            if (found is [var (table, backend, application)])
                return $"The table {options.Schema}.{table} in {dispatcher.Server} is locked by backend {backend}{(string.IsNullOrEmpty(application) ? "" : $" ({DisplayText.Name(application)})")}, {After}";
        }
        catch (Exception error) when (error is NpgsqlException or TimeoutException)
        {
            // The holder of that lock is not worth a second error.
        }

        return $"A table of the schema {options.Schema} in {dispatcher.Server} was locked, {After}";
    }
}
