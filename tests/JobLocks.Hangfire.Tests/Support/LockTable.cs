using JobLocks.Testing.Postgres;

namespace JobLocks.Hangfire.Tests.Support;

/// <summary>What PostgreSQL itself says about the advisory locks of a database.</summary>
internal sealed class LockTable(string database)
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

    public Task<IReadOnlyList<LockKey>> HeldAsync() => DatabaseState.ReadAllAsync(database, Held, static row => new LockKey(row.GetInt64(0)));

    /// <summary>Waits until other processes see who has a lock.</summary>
    public async Task WrittenDownAsync(LockKey key, CancellationToken stop)
    {
        while (await AskAsync("SELECT count(*) FROM joblocks.holders WHERE key = $1", key.Value) is 0L) await Task.Delay(DatabaseState.LookAgainAfter, stop);
    }

    /// <summary>Who stands in the line: names of locks and runs, in order.</summary>
    public Task<IReadOnlyList<(string Name, string Run)>> LineAsync() =>
        DatabaseState.ReadAllAsync(database, "SELECT name, job FROM joblocks.wait_queue ORDER BY entry", static row => (row.GetString(0), row.GetString(1)));

    /// <summary>Waits until nobody stands in the line; gives who does when it stays so.</summary>
    public Task<IReadOnlyList<(string Name, string Run)>> LineAtLastAsync(CancellationToken stop) =>
        Patience.UntilAsync(LineAsync, static line => line.Count == 0, stop);

    public Task<object?> AskAsync(string sql, params object[] parameters) => DatabaseState.ReadAsync(database, sql, parameters);

    /// <summary>Changes the line behind everybody's back.</summary>
    public Task RunAsync(string sql, params object[] parameters) => AskAsync(sql, parameters);

    public async Task<bool> IsHeldAsync(string name) => (await HeldAsync()).Contains(LockKey.Of(name));

    /// <summary>Waits until a lock is free; false when it stays held.</summary>
    public async Task<bool> IsFreeAtLastAsync(string name, CancellationToken stop) =>
        !await Patience.UntilAsync(() => IsHeldAsync(name), static held => !held, stop);

    /// <summary>Ends the session that holds a lock, as an administrator or a broken network does.</summary>
    public async Task BreakAsync(string name)
    {
        if (await AskAsync(Break, LockKey.Of(name).Value) is not true) throw new InvalidOperationException($"Nobody held {name}.");
    }
}
