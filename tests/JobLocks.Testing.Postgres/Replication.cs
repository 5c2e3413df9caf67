using System.Globalization;
using Npgsql;

namespace JobLocks.Testing.Postgres;

/// <summary>Makes one server a standby of another one, with the means of the servers alone: the package of binaries has no pg_basebackup.</summary>
public static class Replication
{
    private const int FirstWithNewNames = 150_000;

    /// <summary>Replaces the data of a server by a copy of the primary's, and has it replicate from there.</summary>
    /// <exception cref="PlatformNotSupportedException">On Windows: the copy needs <c>tar</c> and <c>find</c>.</exception>
    public static async Task FollowAsync(this PostgresServer standby, PostgresServer primary, CancellationToken stop = default)
    {
        if (OperatingSystem.IsWindows()) throw new PlatformNotSupportedException("A standby is copied by a Unix shell.");

        var target = await DataOfAsync(standby, stop);
        await standby.StopAsync(stop: stop);
        await using var connection = await OpenAsync(primary, stop);
        var source = (string)(await ReadAsync(connection, "SHOW data_directory", stop))!;
        var hasNewNames = (int)(await ReadAsync(connection, "SELECT current_setting('server_version_num')::int", stop))! >= FirstWithNewNames;

        // Both servers run under one account, which owns both folders.
        await ReadAsync(connection, hasNewNames ? "SELECT pg_backup_start('standby', true)" : "SELECT pg_start_backup('standby', true, false)", stop);
        await ShellAsync(connection, $"find {target} -mindepth 1 -maxdepth 1 ! -name postgresql.conf ! -name server.log -exec rm -rf {{}} +", stop);
        // tar answers 1 for a file that changed meanwhile: the write-ahead log mends that.
        await ShellAsync(
            connection,
            $"tar -C {source} --exclude=./postmaster.pid --exclude=./postmaster.opts --exclude=./postgresql.conf --exclude=./server.log -cf - . | tar -C {target} -xf -",
            stop);
        await ReadAsync(
            connection,
            $"COPY (SELECT regexp_split_to_table(rtrim(labelfile, E'\\n'), E'\\n') FROM {(hasNewNames ? "pg_backup_stop" : "pg_stop_backup")}(false)) TO '{target}/backup_label'",
            stop);
        await ReadAsync(connection, $"COPY (SELECT '') TO '{target}/standby.signal'", stop);
        // It starts only with the end of the backup, which is in the primary's log.
        await ReadAsync(connection, $"COPY (SELECT 'primary_conninfo = ''{ConnInfoOf(primary)}''') TO '{target}/postgresql.auto.conf'", stop);
        await standby.StartAgainAsync(stop);
        await ReplicateFromAsync(standby, primary, stop);
    }

    /// <summary>Has a standby replicate from a server; from none, so that it falls behind, where that is null.</summary>
    public static async Task ReplicateFromAsync(this PostgresServer standby, PostgresServer? primary, CancellationToken stop = default)
    {
        await using var connection = await OpenAsync(standby, stop);
        await ReadAsync(connection, $"ALTER SYSTEM SET primary_conninfo = '{(primary is null ? "" : ConnInfoOf(primary))}'", stop);
        await ReadAsync(connection, "SELECT pg_reload_conf()", stop);
        var receives = primary is not null;
        while ((bool)(await ReadAsync(connection, "SELECT EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming')", stop))! != receives)
            await Task.Delay(DatabaseState.LookAgainAfter, stop);
    }

    /// <summary>Waits until a standby has all that the primary has written so far.</summary>
    public static async Task WhenCaughtUpAsync(this PostgresServer standby, PostgresServer primary, CancellationToken stop = default)
    {
        await using var from = await OpenAsync(primary, stop);
        await using var to = await OpenAsync(standby, stop);
        var position = (string)(await ReadAsync(from, "SELECT pg_current_wal_flush_lsn()::text", stop))!;
        while (await ReadAsync(to, $"SELECT pg_last_wal_replay_lsn() >= '{position}'", stop) is not true) await Task.Delay(DatabaseState.LookAgainAfter, stop);
    }

    /// <summary>Makes a standby a primary, on a new timeline.</summary>
    public static async Task PromoteAsync(this PostgresServer standby, CancellationToken stop = default)
    {
        await using var connection = await OpenAsync(standby, stop);
        await ReadAsync(connection, "SELECT pg_promote()", stop);
    }

    private static string ConnInfoOf(PostgresServer server)
    {
        var settings = new NpgsqlConnectionStringBuilder(server.ConnectionString);
        return string.Create(CultureInfo.InvariantCulture, $"host={settings.Host} port={settings.Port} user={settings.Username}");
    }

    private static async Task<string> DataOfAsync(PostgresServer server, CancellationToken stop)
    {
        await using var connection = await OpenAsync(server, stop);
        return (string)(await ReadAsync(connection, "SHOW data_directory", stop))!;
    }

    private static async Task ShellAsync(NpgsqlConnection connection, string command, CancellationToken stop) =>
        await ReadAsync(connection, $"COPY (SELECT '') TO PROGRAM '{command.Replace("'", "''", StringComparison.Ordinal)}'", stop);

    private static async Task<NpgsqlConnection> OpenAsync(PostgresServer server, CancellationToken stop)
    {
        var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(server.ConnectionString) { Pooling = false }.ConnectionString);
        await connection.OpenAsync(stop);
        return connection;
    }

    private static async Task<object?> ReadAsync(NpgsqlConnection connection, string sql, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync(stop);
    }
}
