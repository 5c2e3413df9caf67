using System.Diagnostics;
using JobLocks.Diagnostics;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres;

/// <summary>
/// The one connection that holds all locks of this process: one command after the other, opened when it is needed,
/// opened anew after it broke. What a broken connection held is lost, and its handles are told. Thread-safe.
/// </summary>
internal sealed class LockSession : IAsyncDisposable
{
    // The statements take no time of their own: one that is not answered for this long will not be.
    private const int CommandTimeoutSeconds = 10;

    private readonly NpgsqlDataSource _source;
    private readonly JobLocksOptions _options;
    private readonly HeldLocks _held;
    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly SemaphoreSlim _turn = new(1, 1);
    private readonly CancellationTokenSource _closing = new();
    private NpgsqlConnection? _connection;
    private bool _beats;
    private bool _closed;

    public LockSession(NpgsqlDataSource source, JobLocksOptions options, HeldLocks held, TimeProvider clock, ILogger log)
    {
        _source = source;
        _options = options;
        _held = held;
        _clock = clock;
        _log = log;
        Server = Describe(new NpgsqlConnectionStringBuilder(source.ConnectionString));
    }

    /// <summary>Where the locks are, without secrets.</summary>
    public string Server { get; }

    /// <summary>Asks the server for the key of a reserved handle.</summary>
    /// <param name="handle">Marked as granted before anything else can happen on the session.</param>
    /// <param name="stop">Gives up until the question is sent; then the answer is awaited, so that no grant is left behind.</param>
    /// <exception cref="JobLocksUnavailableException">The server cannot be asked.</exception>
    public Task<bool> TryTakeAsync(JobLockHandle handle, CancellationToken stop) =>
        AskAsync(
            async connection =>
            {
                var granted = (bool)(await ScalarAsync(connection, LockSql.TryTake, handle.Key).ConfigureAwait(false))!;
                if (granted) handle.Grant(_clock.GetUtcNow());
                return granted;
            },
            stop);

    /// <summary>Gives a granted key back. Never throws: where the server cannot be asked, the connection is dropped, and the lock with it.</summary>
    public async Task ReleaseAsync(JobLockHandle handle)
    {
        // A lost lock has nothing to give back, and must not wait behind those who try to connect.
        if (handle.Lost.IsCancellationRequested) return;

        await _turn.WaitAsync(CancellationToken.None).ConfigureAwait(false);
        try
        {
            // Without a connection, or after another one took its place, there is nothing of this handle to give back.
            if (_connection is not { } connection || handle.Lost.IsCancellationRequested) return;

            if (await ScalarAsync(connection, LockSql.Release, handle.Key).ConfigureAwait(false) is false)
                _log.ReleasedUnheld(handle.Name, handle.Key.Value);
        }
        catch (Exception broken)
        {
            await DropAsync(broken).ConfigureAwait(false);
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>The session that holds a key, as the server knows it.</summary>
    /// <exception cref="JobLocksUnavailableException">The server cannot be asked.</exception>
    public Task<Holder?> FindHolderAsync(LockKey key, CancellationToken stop) =>
        AskAsync(
            async connection =>
            {
                using var command = Command(connection, LockSql.Holder, key);
                var reader = await command.ExecuteReaderAsync(CancellationToken.None).ConfigureAwait(false);
                await using (reader.ConfigureAwait(false))
                {
                    if (!await reader.ReadAsync(CancellationToken.None).ConfigureAwait(false)) return null;

                    return new Holder
                    {
                        Backend = reader.GetInt32(0),
                        Application = reader.GetValue(1) as string,
                        Address = reader.GetValue(2) as string,
                        ConnectedSince = reader.GetValue(3) as DateTime?,
                    };
                }
            },
            stop);

    /// <summary>Closes the connection: the server frees all that it held.</summary>
    public async ValueTask DisposeAsync()
    {
        await _turn.WaitAsync(CancellationToken.None).ConfigureAwait(false);
        try
        {
            if (_closed) return;

            _closed = true;
            await _closing.CancelAsync().ConfigureAwait(false);
            foreach (var handle in _held.Standing()) handle.DeclareLost();
            if (_connection is not null) await _connection.DisposeAsync().ConfigureAwait(false);
            _connection = null;
        }
        finally
        {
            _turn.Release();
        }
    }

    private async Task<T> AskAsync<T>(Func<NpgsqlConnection, Task<T>> ask, CancellationToken stop)
    {
        await _turn.WaitAsync(stop).ConfigureAwait(false);
        try
        {
            ObjectDisposedException.ThrowIf(_closed, typeof(AdvisoryLocks));

            _connection ??= await OpenAsync(stop).ConfigureAwait(false);
            return await ask(_connection).ConfigureAwait(false);
        }
        catch (Exception broken) when (broken is not (ObjectDisposedException or OperationCanceledException))
        {
            // A full lock table refuses this lock and leaves the session whole.
            if (broken is not PostgresException { SqlState: PostgresErrorCodes.OutOfMemory }) await DropAsync(broken).ConfigureAwait(false);
            throw new JobLocksUnavailableException($"PostgreSQL at {Server} cannot be asked for locks: {broken.Message.TrimEnd('.')}.", broken);
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Opens a connection of our own, outside of every pool: a pooled one would go on to others with our locks on it.</summary>
    private async Task<NpgsqlConnection> OpenAsync(CancellationToken stop)
    {
        var settings = new NpgsqlConnectionStringBuilder(_source.ConnectionString)
        {
            ApplicationName = _options.ApplicationName,
            CommandTimeout = CommandTimeoutSeconds,
            Enlist = false,
            MaxAutoPrepare = 10,
            Multiplexing = false,
            Pooling = false,
        };

        // The clone takes the data source's password and certificates along.
        using var template = _source.CreateConnection();
        var connection = await template.CloneWithAsync(settings.ConnectionString, stop).ConfigureAwait(false);
        try
        {
            await connection.OpenAsync(stop).ConfigureAwait(false);
            using var prepare = new NpgsqlCommand(LockSql.Prepare, connection);
            if (await prepare.ExecuteScalarAsync(stop).ConfigureAwait(false) is true)
                throw new InvalidOperationException("it is a standby, whose locks the primary does not see. Add Target Session Attributes=primary to the connection string.");
        }
        catch
        {
            await connection.DisposeAsync().ConfigureAwait(false);
            throw;
        }

        _log.Opened(Server, connection.ProcessID);
        if (!_beats) _ = Task.Run(BeatAsync, CancellationToken.None);
        _beats = true;
        return connection;
    }

    /// <summary>After an error nobody knows what the connection still holds. Runs are told first, then the server may free their locks.</summary>
    private async Task DropAsync(Exception cause)
    {
        if (_connection is not { } connection) return;

        _connection = null;
        var lost = _held.Standing();
        foreach (var handle in lost) handle.DeclareLost();
        _log.Broke(lost.Count, cause);
        try
        {
            await connection.DisposeAsync().ConfigureAwait(false);
        }
        catch (Exception alsoBroken)
        {
            Debug.WriteLine(alsoBroken);
        }
    }

    /// <summary>An idle connection does not show that it broke. Asking it now and then does.</summary>
    private async Task BeatAsync()
    {
        using var timer = new PeriodicTimer(_options.HeartbeatInterval, _clock);
        try
        {
            while (await timer.WaitForNextTickAsync(_closing.Token).ConfigureAwait(false))
            {
                await BeatOnceAsync().ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
            // The session is closing.
        }
    }

    private async Task BeatOnceAsync()
    {
        await _turn.WaitAsync(_closing.Token).ConfigureAwait(false);
        try
        {
            if (_connection is not { } connection) return;

            using var command = new NpgsqlCommand(LockSql.Heartbeat, connection);
            await command.ExecuteScalarAsync(CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception broken)
        {
            await DropAsync(broken).ConfigureAwait(false);
        }
        finally
        {
            _turn.Release();
        }
    }

    private static async Task<object?> ScalarAsync(NpgsqlConnection connection, string sql, LockKey key)
    {
        using var command = Command(connection, sql, key);
        return await command.ExecuteScalarAsync(CancellationToken.None).ConfigureAwait(false);
    }

    private static NpgsqlCommand Command(NpgsqlConnection connection, string sql, LockKey key) =>
        new(sql, connection) { Parameters = { new NpgsqlParameter<long> { TypedValue = key.Value } } };

    private static string Describe(NpgsqlConnectionStringBuilder settings) =>
        $"{settings.Host}:{settings.Port}, database {settings.Database ?? settings.Username}";
}
