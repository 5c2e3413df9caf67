using System.Globalization;
using Npgsql;

namespace JobLocks.Testing.Postgres;

/// <summary>The files that a <see cref="PgBouncer"/> is started with.</summary>
internal sealed record PgBouncerSettings(NpgsqlConnectionStringBuilder Server, int Port, PoolMode Mode, int DefaultPoolSize)
{
    /// <summary>Leads through PgBouncer; without a password, and without encryption, which PgBouncer does not offer here.</summary>
    public string ClientConnectionString => new NpgsqlConnectionStringBuilder(Server.ConnectionString)
    {
        Host = "127.0.0.1",
        Port = Port,
        Password = null,
        SslMode = SslMode.Prefer,
    }.ConnectionString;

    public static string FileIn(ServerFolder folder) => Path.Combine(folder.Data, "pgbouncer.ini");

    public async Task WriteAsync(ServerFolder folder, CancellationToken stop)
    {
        // Known even where nobody is asked for a password; the one written here is for the server.
        var users = Path.Combine(folder.Data, "users.txt");
        await File.WriteAllTextAsync(users, $"{Quoted(Server.Username)} {Quoted(Server.Password)}\n", stop);
        if (!OperatingSystem.IsWindows())
            File.SetUnixFileMode(users, UnixFileMode.UserRead);

        await File.WriteAllTextAsync(FileIn(folder), Text(folder.Log, users), stop);
    }

    private static string Quoted(string? text) => $"\"{text?.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";

    private string Text(string log, string users) => string.Create(
        CultureInfo.InvariantCulture,
        $"""
        [databases]
        * = host={Server.Host} port={Server.Port}

        [pgbouncer]
        listen_addr = 127.0.0.1
        listen_port = {Port}
        unix_socket_dir =
        auth_type = trust
        auth_file = {users}
        pool_mode = {Mode.ToString().ToLowerInvariant()}
        default_pool_size = {DefaultPoolSize}
        max_client_conn = 200
        logfile = {log}

        """);
}
