using System.Diagnostics;
using JobLocks.Testing.Postgres;

namespace JobLocks.Tests.Support;

/// <summary>What PostgreSQL itself says about advisory locks in a database.</summary>
internal static class LockTable
{
    private const string Held =
        """
        SELECT count(*)
        FROM   pg_locks
        WHERE  locktype = 'advisory'
        AND    database = (SELECT oid FROM pg_database WHERE datname = current_database())
        """;

    /// <summary>Ends the sessions that hold locks in a database, and no others.</summary>
    public static Task EndSessionsAsync(string connectionString) =>
        AskAsync(connectionString, Held.Replace("count(*)", "count(pg_terminate_backend(pid))", StringComparison.Ordinal));

    /// <summary>How many are held once the last session has ended, or after ten seconds.</summary>
    public static async Task<long> CountLeftAsync(string connectionString)
    {
        var waited = Stopwatch.StartNew();
        while (true)
        {
            var count = await CountAsync(connectionString);
            if (count == 0 || waited.Elapsed > TimeSpan.FromSeconds(10)) return count;

            await Task.Delay(DatabaseState.LookAgainAfter);
        }
    }

    /// <summary>How many are held, once that is the expected number or after ten seconds: a release need not wait for the server.</summary>
    public static async Task<long> CountUntilAsync(string connectionString, long expected)
    {
        var waited = Stopwatch.StartNew();
        while (true)
        {
            var count = await CountAsync(connectionString);
            if (count == expected || waited.Elapsed > TimeSpan.FromSeconds(10)) return count;

            await Task.Delay(DatabaseState.LookAgainAfter);
        }
    }

    public static async Task<long> CountAsync(string connectionString) => (long)(await AskAsync(connectionString, Held))!;

    public static Task<object?> AskAsync(string connectionString, string sql, params object[] parameters) => DatabaseState.ReadAsync(connectionString, sql, parameters);
}
