using System.Diagnostics;
using Npgsql;

namespace JobLocks.Benchmarks;

/// <summary>The database that all contenders work in. Asked from one thread at a time.</summary>
internal sealed class Database(string connectionString) : IAsyncDisposable
{
    // The peers open a connection for each caller; Npgsql's own bound of 100 would be what is measured.
    private const int RoomForEachCaller = 300;

    private static readonly TimeSpan LookAgainAfter = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    // Kept open: once a peer has used up the server's connections, nobody could look at it any more.
    private NpgsqlConnection? _watcher;

    /// <summary>With a pool of its own for each application name.</summary>
    public string ConnectionString(string application) =>
        new NpgsqlConnectionStringBuilder(connectionString) { ApplicationName = application, MaxPoolSize = RoomForEachCaller }.ConnectionString;

    /// <summary>A connection outside of all pools.</summary>
    public async Task<NpgsqlConnection> OpenAsync(CancellationToken stop)
    {
        var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(connectionString) { ApplicationName = "benchmark", Pooling = false }.ConnectionString);
        await connection.OpenAsync(stop);
        return connection;
    }

    /// <summary>Runs a statement that is part of no measurement.</summary>
    public async Task<object?> AskAsync(string sql, CancellationToken stop, params object[] values)
    {
        _watcher ??= await OpenAsync(stop);
        await using var command = new NpgsqlCommand(sql, _watcher);
        foreach (var value in values) command.Parameters.Add(new() { Value = value });
        return await command.ExecuteScalarAsync(stop);
    }

    public async Task<long> CountConnectionsAsync(string application, CancellationToken stop) =>
        (long)(await AskAsync("SELECT count(*) FROM pg_stat_activity WHERE starts_with(application_name, $1)", stop, application))!;

    /// <summary>A closed connection's process at the server takes a moment to end. One that takes longer is no reason to stop.</summary>
    public async Task HasNoConnectionsAsync(string application, CancellationToken stop)
    {
        var started = Stopwatch.GetTimestamp();
        while (await CountConnectionsAsync(application, stop) > 0 && Stopwatch.GetElapsedTime(started) < Patience) await Task.Delay(LookAgainAfter, stop);
    }

    public async ValueTask DisposeAsync()
    {
        if (_watcher is not null) await _watcher.DisposeAsync();
    }
}
