using JobLocks.Testing.Postgres;
using Npgsql;

namespace JobLocks.Tests.Postgres;

[CancelAfter(60_000)]
public sealed class ThrowAwayServerTests
{
    private static readonly Machine WithoutForeignServer = new() { ForeignServer = null };

    private PostgresServer _server = null!;

    [OneTimeSetUp]
    public async Task StartServer() => _server = await PostgresServer.StartAsync(WithoutForeignServer);

    [OneTimeTearDown]
    public async Task EndServer() => await _server.DisposeAsync();

    [Test]
    public async Task Keeps_its_port_and_data_over_a_restart([Values] bool immediate, CancellationToken stop)
    {
        var database = await _server.CreateDatabaseAsync("restart", stop);
        await AskAsync(database, "CREATE TABLE kept AS SELECT 4 AS value", stop);

        await _server.RestartAsync(immediate, stop);

        Assert.That(await AskAsync(database, "SELECT value FROM kept", stop), Is.EqualTo(4));
    }

    [Test]
    public async Task Leaves_nothing_behind_after_a_normal_end(CancellationToken stop)
    {
        var server = await PostgresServer.StartAsync(WithoutForeignServer, stop);
        var data = await AskAsync(server.ConnectionString, "SHOW data_directory", stop);

        await server.DisposeAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(Path.GetDirectoryName((string?)data), Does.Not.Exist);
            Assert.That(() => AskAsync(server.ConnectionString, "SELECT 1", stop), Throws.InstanceOf<NpgsqlException>());
        }
    }

    [Test]
    public async Task Clears_what_a_killed_process_left_and_nothing_else(CancellationToken stop)
    {
        var tools = new PostgresTools(await WithoutForeignServer.FindBinariesAsync(stop), await UnixAccount.InsteadOfRootAsync(stop));
        var folder = ServerFolder.Create();
        var abandoned = await LocalServer.StartAsync(folder, tools, settings: "", stop);
        folder.Dispose();

        await using var next = await PostgresServer.StartAsync(WithoutForeignServer, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(folder.Path, Does.Not.Exist);
            Assert.That(() => AskAsync(abandoned.ConnectionString, "SELECT 1", stop), Throws.InstanceOf<NpgsqlException>());
            Assert.That(await AskAsync(_server.ConnectionString, "SELECT 1", stop), Is.EqualTo(1));
        }
    }

    [Test]
    public async Task Uses_and_drops_only_databases_of_its_own_on_the_server_of_JOBLOCKS_POSTGRES(CancellationToken stop)
    {
        const string databases = "SELECT array_agg(datname::text ORDER BY datname) FROM pg_database";
        var before = await AskAsync(_server.ConnectionString, databases, stop);
        var guest = await PostgresServer.StartAsync(new Machine { ForeignServer = _server.ConnectionString }, stop);
        var own = await AskAsync(guest.ConnectionString, "SELECT current_database()::text", stop);
        var another = await AskAsync(await guest.CreateDatabaseAsync(stop: stop), "SELECT current_database()::text", stop);
        var meanwhile = await AskAsync(_server.ConnectionString, databases, stop);

        await guest.DisposeAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(meanwhile, Is.SupersetOf(new[] { own, another }));
            Assert.That(await AskAsync(_server.ConnectionString, databases, stop), Is.EqualTo(before));
        }
    }

    [Test]
    public async Task Does_not_restart_the_server_of_JOBLOCKS_POSTGRES(CancellationToken stop)
    {
        await using var guest = await PostgresServer.StartAsync(new Machine { ForeignServer = _server.ConnectionString }, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(guest.CanRestart, Is.False);
            Assert.That(
                () => guest.RestartAsync(stop: stop),
                Throws.InvalidOperationException.With.Message.Contains("Unset JOBLOCKS_POSTGRES"));
        }
    }

    [Test]
    public void Says_how_to_mend_it_where_there_is_no_PostgreSQL(CancellationToken stop)
    {
        var bare = new Machine
        {
            ForeignServer = null,
            SearchPath = "",
            UsualPlaces = [],
            Download = _ => throw new IOException("no network"),
        };

        Assert.That(
            () => PostgresServer.StartAsync(bare, stop),
            Throws.InvalidOperationException.With.Message.Contains("JOBLOCKS_POSTGRES")
                .And.Message.Contains("Install PostgreSQL")
                .And.Message.Contains("no network"));
    }

    private static async Task<object?> AskAsync(string connectionString, string sql, CancellationToken stop)
    {
        var unpooled = new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false };
        await using var connection = new NpgsqlConnection(unpooled.ConnectionString);
        await connection.OpenAsync(stop);
        await using var command = new NpgsqlCommand(sql, connection);
        return await command.ExecuteScalarAsync(stop);
    }
}
