using JobLocks.Postgres.Locks;
using JobLocks.Postgres.Session;
using JobLocks.Postgres.WaitQueue;
using JobLocks.Primitives;
using Npgsql;

namespace JobLocks.Postgres.Reading;

/// <summary>Asks what is to be shown, also where the schema is not there or not ours to read. Thread-safe outside of a snapshot.</summary>
internal sealed class LookReader(LockDispatcher dispatcher, WaitQueueStatements statements, JobLocksOptions options, LookGate gate, TimeSpan patience)
{
    private const string OneSnapshot = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY";

    private readonly NpgsqlConnection? _snapshot;

    private LookReader(LookReader outside, NpgsqlConnection snapshot)
        : this(outside.Desk, outside.Statements, outside.Options, outside.Gate, outside.Patience) => _snapshot = snapshot;

    private LockDispatcher Desk => dispatcher;

    private WaitQueueStatements Statements => statements;

    private JobLocksOptions Options => options;

    private LookGate Gate => gate;

    private TimeSpan Patience => patience;

    /// <summary>The same on the same connections, for a caller who waits longer or shorter for one of them.</summary>
    public LookReader With(TimeSpan otherPatience) => new(dispatcher, statements, options, gate, otherPatience);

    /// <summary>
    /// Reads all from one snapshot of the tables: what is shown together fits together. Only the lock table of the server knows no snapshots, so it
    /// should be read once.
    /// </summary>
    public async Task<T> InOneSnapshotAsync<T>(Func<LookReader, Task<T>> read, CancellationToken stop)
    {
        if (options.Schema is null) return await read(this).ConfigureAwait(false);

        try
        {
            return await DescribedAsync(() => gate.ReadAsync(() => statements.InTransactionAsync(
                async connection =>
                {
                    var command = new NpgsqlCommand(OneSnapshot, connection);
                    await using (command.ConfigureAwait(false)) await command.ExecuteNonQueryAsync(stop).ConfigureAwait(false);
                    return await read(new(this, connection)).ConfigureAwait(false);
                },
                blocks: false,
                stop), patience, stop)).ConfigureAwait(false);
        }
        catch (PostgresException unread) when (IsAboutSchema(unread))
        {
            // An error ends the transaction. What can be read is read by itself.
            return await read(this).ConfigureAwait(false);
        }
    }

    /// <summary>Asks, and says whether the schema could be read.</summary>
    public async Task<(List<T> Rows, bool HasSchema)> AskAsync<T>(string sql, Func<NpgsqlDataReader, T> read, CancellationToken stop, params NpgsqlParameter[] parameters)
    {
        if (options.Schema is not null)
        {
            try
            {
                return (await ReadAsync(sql, read, parameters, stop).ConfigureAwait(false), true);
            }
            catch (PostgresException unread) when (_snapshot is null && IsAboutSchema(unread))
            {
                // It is not there yet, or not ours to read.
            }
        }

        try
        {
            return (await ReadAsync(LookSql.WithoutSchema(sql), read, [.. parameters.Select(static one => one.Clone())], stop).ConfigureAwait(false), false);
        }
        catch (PostgresException denied) when (string.Equals(denied.SqlState, PostgresErrorCodes.InsufficientPrivilege, StringComparison.Ordinal))
        {
            throw new UnauthorizedAccessException($"This role may not do that: {DisplayText.Message(denied.MessageText)}. Ending a session of another role needs pg_signal_backend.", denied);
        }
    }

    /// <summary>Asks what only the schema knows: nothing where it cannot be read.</summary>
    public async Task<(List<T> Rows, bool HasSchema)> AskSchemaAsync<T>(string sql, Func<NpgsqlDataReader, T> read, CancellationToken stop, params NpgsqlParameter[] parameters)
    {
        if (options.Schema is null) return ([], false);

        try
        {
            return (await ReadAsync(sql, read, parameters, stop).ConfigureAwait(false), true);
        }
        catch (PostgresException unread) when (_snapshot is null && IsAboutSchema(unread))
        {
            return ([], false);
        }
    }

    /// <summary>Asks, and leaves it to the caller where the schema cannot be used.</summary>
    public Task<List<T>> ReadAsync<T>(string sql, Func<NpgsqlDataReader, T> read, NpgsqlParameter[] parameters, CancellationToken stop) => _snapshot is { } same
        ? statements.ReadAsync(same, sql, read, blocks: false, stop, parameters).AsTask()
        : DescribedAsync(() => gate.ReadAsync(() => statements.ReadAsync(sql, read, blocks: false, stop, parameters), patience, stop));

    /// <summary>Whether a statement failed because of the schema.</summary>
    public static bool IsAboutSchema(Exception thrown) => (thrown as PostgresException)?.SqlState
        is PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.InvalidSchemaName or PostgresErrorCodes.InsufficientPrivilege or PostgresErrorCodes.UndefinedColumn;

    private async Task<T> DescribedAsync<T>(Func<ValueTask<T>> ask)
    {
        try
        {
            return await ask().ConfigureAwait(false);
        }
        catch (PostgresException locked) when (SessionConnection.IsLocked(locked))
        {
            throw new JobLocksUnavailableException(await DescribeLockedAsync().ConfigureAwait(false), locked) { LookTrouble = "A table that the pages read is locked" };
        }
        catch (Exception trouble) when (trouble is TimeoutException || (trouble is NpgsqlException && !IsAboutSchema(trouble)))
        {
            throw ServerTrouble.Describe(dispatcher.Server, trouble);
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
        catch (Exception broken) when (broken is NpgsqlException or TimeoutException)
        {
            // Who it was is not worth a second error.
        }

        return $"A table of the schema {options.Schema} in {dispatcher.Server} was locked, {After}";
    }
}
