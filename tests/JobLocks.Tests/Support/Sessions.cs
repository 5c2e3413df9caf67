using System.Diagnostics;
using System.Globalization;
using JobLocks.Testing.Postgres;

namespace JobLocks.Tests.Support;

/// <summary>The sessions of some locks, as the server and the holders of a lock see them.</summary>
internal static class Sessions
{
    /// <summary>A name that no other locks show to the server.</summary>
    public static string NewName(string hint) => $"{hint}-{Guid.NewGuid():N}";

    /// <summary>Ends the sessions that bear a name, as an administrator would.</summary>
    /// <returns>How many there were.</returns>
    public static async Task<long> EndAsync(string connectionString, string application) => (long)(await LockTable.AskAsync(
        connectionString, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = $1", application))!;

    /// <summary>Waits until a session of the name is there.</summary>
    /// <returns>Its process id.</returns>
    public static async Task<int> WhenOpenAsync(string connectionString, string application, CancellationToken stop)
    {
        while (true)
        {
            if (await LockTable.AskAsync(connectionString, "SELECT pid FROM pg_stat_activity WHERE application_name = $1 LIMIT 1", application) is int pid) return pid;

            stop.ThrowIfCancellationRequested();
            await Task.Delay(DatabaseState.LookAgainAfter, stop);
        }
    }

    /// <summary>Waits until the server was told something by the session, this long after now.</summary>
    public static async Task WhenHeardAfterAsync(string connectionString, string application, TimeSpan later, CancellationToken stop)
    {
        await using var connection = await Raw.OpenAsync(connectionString, stop);
        var since = (DateTime)(await connection.AskAsync("SELECT now()::timestamp", stop))!;
        var heard = string.Create(
            CultureInfo.InvariantCulture,
            $"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{application}' AND state_change::timestamp > timestamp '{since + later:yyyy-MM-dd HH:mm:ss.ffffff}'");
        while (await connection.AskAsync(heard, stop) is 0L) await Task.Delay(TimeSpan.FromMilliseconds(20), stop);
    }

    /// <summary>Asks on a session of its own, past all faults, until the key of a name is free, and takes it for a moment.</summary>
    /// <returns>The <see cref="Stopwatch.GetTimestamp"/> right after the server said so.</returns>
    public static async Task<long> WhenFreeAsync(string connectionString, string name, CancellationToken stop)
    {
        await using var connection = await Raw.OpenAsync(connectionString, stop);
        var take = string.Create(CultureInfo.InvariantCulture, $"SELECT pg_try_advisory_lock({LockKey.Of(name).Value})");
        while (await connection.AskAsync(take, stop) is false) await Task.Delay(TimeSpan.FromMilliseconds(1), stop);

        var free = Stopwatch.GetTimestamp();
        // A connection that is closed may keep its locks for a moment.
        await connection.AskAsync(string.Create(CultureInfo.InvariantCulture, $"SELECT pg_advisory_unlock({LockKey.Of(name).Value})"), stop);
        return free;
    }

    /// <summary>Whether some session of the database holds the key of a name.</summary>
    public static async Task<bool> IsHeldAsync(string connectionString, string name)
    {
        const string Held =
            """
            SELECT count(*)
            FROM   pg_locks
            WHERE  locktype = 'advisory'
            AND    objsubid = 1
            AND    (classid::bigint << 32) | objid::bigint = $1
            """;
        return await LockTable.AskAsync(connectionString, Held, LockKey.Of(name).Value) is > 0L;
    }

    /// <summary>Waits until the holder is told that the lock is lost.</summary>
    /// <returns>The <see cref="Stopwatch.GetTimestamp"/> at which it was.</returns>
    public static Task<long> WhenLost(this JobLockHandle handle)
    {
        var told = new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously);
        handle.Lost.Register(() => told.TrySetResult(Stopwatch.GetTimestamp()));
        return told.Task;
    }
}
