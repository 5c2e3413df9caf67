using Npgsql;

namespace JobLocks.Hangfire.Tests.Support;

/// <summary>What PostgreSQL itself says about the advisory locks of a database.</summary>
internal sealed class LockTable(string database) : IAsyncDisposable
{
    private const string Held =
        """
        SELECT (classid::bigint << 32) | objid::bigint
        FROM   pg_locks
        WHERE  locktype = 'advisory'
        AND    NOT (objsubid = 2 AND classid IN (1246524279, 1246524276)) -- who sweeps the wait queue, and who serves a store
        AND    database = (SELECT oid FROM pg_database WHERE datname = current_database())
        """;

    private const string Break =
        """
        SELECT pg_terminate_backend(pid)
        FROM   pg_locks
        WHERE  locktype = 'advisory'
        AND    database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND    (classid::bigint << 32) | objid::bigint = $1
        """;

    // Not pooled: a test may have restarted the server meanwhile.
    private readonly NpgsqlDataSource _source =
        NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(database) { Pooling = false }.ConnectionString);

    public async Task<IReadOnlyList<LockKey>> HeldAsync()
    {
        await using var command = _source.CreateCommand(Held);
        await using var reader = await command.ExecuteReaderAsync();
        var keys = new List<LockKey>();
        while (await reader.ReadAsync()) keys.Add(new(reader.GetInt64(0)));
        return keys;
    }

    /// <summary>Waits until other processes see who has a lock.</summary>
    public async Task WrittenDownAsync(LockKey key, CancellationToken stop)
    {
        await using var command = _source.CreateCommand("SELECT count(*) FROM joblocks.held WHERE key = $1");
        command.Parameters.Add(new() { Value = key.Value });
        while (await command.ExecuteScalarAsync(stop) is 0L) stop.ThrowIfCancellationRequested();
    }

    /// <summary>Who stands in the line: names of locks and runs, in order.</summary>
    public async Task<IReadOnlyList<(string Name, string Run)>> LineAsync()
    {
        await using var command = _source.CreateCommand("SELECT name, run FROM joblocks.line ORDER BY place");
        await using var reader = await command.ExecuteReaderAsync();
        var line = new List<(string, string)>();
        while (await reader.ReadAsync()) line.Add((reader.GetString(0), reader.GetString(1)));
        return line;
    }

    /// <summary>Waits until nobody stands in the line; gives who does when it stays so.</summary>
    public Task<IReadOnlyList<(string Name, string Run)>> LineAtLastAsync(CancellationToken stop) =>
        Patience.UntilAsync(LineAsync, static line => line.Count == 0, stop);

    public async Task<object?> AskAsync(string sql, params object[] parameters)
    {
        await using var command = _source.CreateCommand(sql);
        foreach (var parameter in parameters) command.Parameters.Add(new() { Value = parameter });
        return await command.ExecuteScalarAsync();
    }

    /// <summary>Changes the line behind everybody's back.</summary>
    public Task RunAsync(string sql, params object[] parameters) => AskAsync(sql, parameters);

    public async Task<bool> IsHeldAsync(string name) => (await HeldAsync()).Contains(LockKey.Of(name));

    /// <summary>Waits until a lock is free; false when it stays held.</summary>
    public async Task<bool> IsFreeAtLastAsync(string name, CancellationToken stop) =>
        !await Patience.UntilAsync(() => IsHeldAsync(name), static held => !held, stop);

    /// <summary>Ends the session that holds a lock, as an administrator or a broken network does.</summary>
    public async Task BreakAsync(string name)
    {
        await using var command = _source.CreateCommand(Break);
        command.Parameters.Add(new() { Value = LockKey.Of(name).Value });
        if (await command.ExecuteScalarAsync() is not true) throw new InvalidOperationException($"Nobody held {name}.");
    }

    public ValueTask DisposeAsync() => _source.DisposeAsync();
}
