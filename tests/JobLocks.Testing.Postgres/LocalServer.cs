using System.Globalization;
using Npgsql;

namespace JobLocks.Testing.Postgres;

/// <summary>A server on this machine that nobody else uses, and its data.</summary>
internal sealed class LocalServer(ServerFolder folder, PostgresTools tools) : IAsyncDisposable
{
    private const int Attempts = 5;

    /// <summary>
    /// Careless of a crash of the machine, but not of the server: synchronous_commit stays on, or an immediate stop would lose
    /// what was committed in the last moments before it. Each fixture has a database of its own, and to look after all of them takes more than they need.
    /// </summary>
    private const string Settings =
        """
        listen_addresses = '127.0.0.1'
        unix_socket_directories = ''
        max_connections = 300
        fsync = off
        full_page_writes = off
        autovacuum = off

        """;

    private int _port;

    public string ConnectionString => new NpgsqlConnectionStringBuilder
    {
        Host = "127.0.0.1",
        Port = _port,
        Username = "postgres",
        Database = "postgres",
    }.ConnectionString;

    public static async Task<LocalServer> StartAsync(ServerFolder folder, PostgresTools tools, string settings, CancellationToken stop)
    {
        var server = new LocalServer(folder, tools);
        try
        {
            await tools.InitializeAsync(folder, stop);
            await server.ConfigureAsync($"{Settings}{settings}\n", stop);
            await server.StartOnFreePortAsync(stop);
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    public Task StartAgainAsync(CancellationToken stop) => tools.StartAsync(folder, stop);

    public Task StopAsync(bool immediate, CancellationToken stop) => tools.StopAsync(folder, immediate, stop);

    public async ValueTask DisposeAsync()
    {
        using (folder)
        {
            if (Postmaster.Runs(folder.Data))
                await StopAsync(immediate: true, CancellationToken.None);

            await folder.DeleteAsync();
        }
    }

    private async Task StartOnFreePortAsync(CancellationToken stop)
    {
        for (var attempt = 1; ; attempt++)
        {
            _port = LoopbackPort.Free();
            await ConfigureAsync(string.Create(CultureInfo.InvariantCulture, $"port = {_port}\n"), stop);
            try
            {
                await tools.StartAsync(folder, stop);
                return;
            }
            catch (InvalidOperationException) when (attempt < Attempts && PortWasTaken())
            {
                // Somebody was faster between our look at the port and the server's.
            }
        }
    }

    private bool PortWasTaken() => folder.ReadLog().Contains("could not bind", StringComparison.Ordinal);

    /// <summary>Of a setting that occurs twice, PostgreSQL takes the last.</summary>
    private Task ConfigureAsync(string settings, CancellationToken stop) =>
        File.AppendAllTextAsync(Path.Combine(folder.Data, "postgresql.conf"), settings, stop);
}
