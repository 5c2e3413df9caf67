using Npgsql;

namespace JobLocks.Testing.Postgres;

/// <summary>A PostgreSQL that is simply there, for as long as this object lives.</summary>
/// <remarks>
/// <para>
/// It is taken from the first of these that exists: the server that the environment variable <c>JOBLOCKS_POSTGRES</c>
/// names (only a database of its own is used there, and dropped at the end); the PostgreSQL installed on this machine;
/// the binaries that the package MysticMind.PostgresEmbed downloads. The last two are started on a random port of the
/// loopback address, with data in a temporary folder and without any care for a crash of the machine.
/// </para>
/// <para>Server and folder go at disposal, or else at the normal end of the process, or else at the next start.</para>
/// <para>Databases may be created from several threads at once. Start, stop and restart the server from one at a time.</para>
/// </remarks>
/// <example><code>
/// await using var postgres = await PostgresServer.StartAsync();
/// await using var dataSource = NpgsqlDataSource.Create(await postgres.CreateDatabaseAsync("orders"));
/// </code></example>
public sealed class PostgresServer : IAsyncDisposable
{
    private static readonly TimeSpan PatienceAtProcessExit = TimeSpan.FromSeconds(5);

    private readonly Databases _databases;
    private readonly LocalServer? _local;
    private int _disposed;

    private PostgresServer(Databases databases, LocalServer? local, string connectionString, string source)
    {
        _databases = databases;
        _local = local;
        ConnectionString = connectionString;
        Source = source;
        AppDomain.CurrentDomain.ProcessExit += DisposeAtProcessExit;
    }

    /// <summary>Leads to a database of this instance alone.</summary>
    public string ConnectionString { get; }

    /// <summary>One sentence that says which PostgreSQL this is and where it came from.</summary>
    public string Source { get; }

    /// <summary>Whether this server may be stopped and started. False for the server of <c>JOBLOCKS_POSTGRES</c>.</summary>
    public bool CanRestart => _local is not null;

    /// <summary>Finds a PostgreSQL and waits until it answers.</summary>
    /// <param name="stop">Gives up, and leaves nothing behind.</param>
    /// <exception cref="InvalidOperationException">There is no PostgreSQL here, or it does not start. The message says how to mend it.</exception>
    public static Task<PostgresServer> StartAsync(CancellationToken stop = default) => StartAsync(new Machine(), settings: "", stop);

    /// <summary>As <see cref="StartAsync(CancellationToken)"/>, with settings. The server of <c>JOBLOCKS_POSTGRES</c> keeps its own.</summary>
    /// <param name="settings">Lines of <c>postgresql.conf</c>, such as <c>max_connections = 500</c>. They come last, so they win.</param>
    /// <param name="stop">Gives up, and leaves nothing behind.</param>
    /// <exception cref="InvalidOperationException">There is no PostgreSQL here, or it does not start. The message says how to mend it.</exception>
    public static Task<PostgresServer> StartAsync(string settings, CancellationToken stop = default) => StartAsync(new Machine(), settings, stop);

    /// <summary>Starts a server that may be restarted: one that <c>JOBLOCKS_POSTGRES</c> names is left alone, since it serves others too.</summary>
    /// <param name="stop">Gives up, and leaves nothing behind.</param>
    /// <exception cref="InvalidOperationException">There are no binaries here, or the server does not start. The message says how to mend it.</exception>
    public static Task<PostgresServer> StartOwnAsync(CancellationToken stop = default) => StartLocalAsync(new Machine(), settings: "", stop);

    internal static Task<PostgresServer> StartAsync(Machine machine, CancellationToken stop = default) => StartAsync(machine, settings: "", stop);

    /// <summary>Creates an empty database with a name that nobody else has.</summary>
    /// <param name="hint">Becomes part of the name, for whoever looks at the server meanwhile.</param>
    /// <param name="stop">Gives up.</param>
    /// <returns>Its connection string.</returns>
    public Task<string> CreateDatabaseAsync(string? hint = null, CancellationToken stop = default) => _databases.CreateAsync(hint, Databases.Empty, stop);

    /// <summary>Creates a copy of a database, under a name that nobody else has.</summary>
    /// <param name="template">The database to copy, to which nobody may be connected.</param>
    /// <param name="hint">Becomes part of the name.</param>
    /// <param name="stop">Gives up.</param>
    /// <returns>Its connection string.</returns>
    public Task<string> CopyDatabaseAsync(string template, string hint, CancellationToken stop = default) => _databases.CreateAsync(hint, template, stop);

    /// <summary>Stops the server and starts it again, with the same port and data.</summary>
    /// <param name="immediate">True stops it as a crash would; false lets it close its connections and write its data first.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="InvalidOperationException"><see cref="CanRestart"/> is false.</exception>
    public async Task RestartAsync(bool immediate = false, CancellationToken stop = default)
    {
        await StopAsync(immediate, stop);
        await StartAgainAsync(stop);
    }

    /// <summary>Takes the server away until <see cref="StartAgainAsync"/>.</summary>
    /// <param name="immediate">True stops it as a crash would; false lets it close its connections and write its data first.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="InvalidOperationException"><see cref="CanRestart"/> is false.</exception>
    public Task StopAsync(bool immediate = false, CancellationToken stop = default) => OwnServer().StopAsync(immediate, stop);

    /// <summary>Brings the server back after <see cref="StopAsync"/>, with the same port and data.</summary>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="InvalidOperationException"><see cref="CanRestart"/> is false.</exception>
    public Task StartAgainAsync(CancellationToken stop = default) => OwnServer().StartAgainAsync(stop);

    /// <summary>Ends the server and deletes its data; on the server of <c>JOBLOCKS_POSTGRES</c>, drops the databases created here.</summary>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref _disposed, 1) != 0)
            return;

        AppDomain.CurrentDomain.ProcessExit -= DisposeAtProcessExit;
        if (_local is null)
            await _databases.DropAsync();
        else
            await _local.DisposeAsync();
    }

    private static Task<PostgresServer> StartAsync(Machine machine, string settings, CancellationToken stop) =>
        string.IsNullOrWhiteSpace(machine.ForeignServer)
            ? StartLocalAsync(machine, settings, stop)
            : JoinForeignAsync(machine.ForeignServer, stop);

    private static async Task<PostgresServer> StartLocalAsync(Machine machine, string settings, CancellationToken stop)
    {
        var binaries = await machine.FindBinariesAsync(stop);
        var tools = new PostgresTools(binaries, await UnixAccount.InsteadOfRootAsync(stop));
        await Leftovers.ClearAsync(tools, stop);

        var local = await LocalServer.StartAsync(ServerFolder.Create(), tools, settings, stop);
        try
        {
            var databases = new Databases(local.ConnectionString);
            var version = await databases.ServerVersionAsync(stop);
            return new(databases, local, local.ConnectionString, $"PostgreSQL {version} from {binaries.Folder}");
        }
        catch
        {
            await local.DisposeAsync();
            throw;
        }
    }

    private static async Task<PostgresServer> JoinForeignAsync(string server, CancellationToken stop)
    {
        try
        {
            var databases = new Databases(server);
            var version = await databases.ServerVersionAsync(stop);
            var own = await databases.CreateAsync(hint: null, Databases.Empty, stop);
            return new(databases, local: null, own, $"PostgreSQL {version} from {Machine.ForeignServerVariable}");
        }
        catch (Exception reason) when (reason is NpgsqlException or ArgumentException)
        {
            throw new InvalidOperationException(
                $"The server that {Machine.ForeignServerVariable} names cannot be used. Give the connection string of a server in which "
                + $"you may create databases, or unset {Machine.ForeignServerVariable} to have one started. The reason: {reason.Message}",
                reason);
        }
    }

    private LocalServer OwnServer() => _local ?? throw new InvalidOperationException(
        $"The server that {Machine.ForeignServerVariable} names serves others too, so it is not stopped or restarted from here. "
        + $"Unset {Machine.ForeignServerVariable}, or do this only where {nameof(CanRestart)} is true.");

#pragma warning disable VSTHRD002 // The process ends when this handler returns, so there is nothing to go on with meanwhile.
    private void DisposeAtProcessExit(object? sender, EventArgs e) => Task.WaitAny([DisposeAsync().AsTask()], PatienceAtProcessExit);
#pragma warning restore VSTHRD002
}
