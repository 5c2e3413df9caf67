using System.Globalization;
using JobLocks.Diagnostics;
using JobLocks.Locks;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.Schema;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>Opens the connections of this process. Refuses a server that cannot hold locks, and names the remedy. Thread-safe.</summary>
internal sealed class SessionConnector
{
    // This process uses at most a quarter of the nominal size of the server's lock table: while the table is full, no client can connect.
    private const int LockTableDivisor = 4;

    private const int FirstWithIdleTimeout = 140_000;
    private const int LongestConnectSeconds = 10;
    private const int PooledIdleSeconds = 30;
    private const string Multiplexing = "Multiplexing";

    private readonly NpgsqlDataSource _source;
    private readonly JobLocksOptions _options;
    private readonly ILogger _log;
    private readonly StartOptions _startOptions = new();
    private readonly string[] _hosts;
    private volatile string _host;

    public SessionConnector(NpgsqlDataSource source, JobLocksOptions options, ILogger log)
    {
        _source = source;
        _options = options;
        Owners = new(options);
        Start = new(OpenUnpooled);
        Schema = new(options, Owners, log);
        _log = log;
        var settings = new NpgsqlConnectionStringBuilder(source.ConnectionString);
        _hosts = (settings.Host ?? "").Split(',', StringSplitOptions.TrimEntries);
        _host = _hosts[0];
        Server = ServerName.Of(settings);
    }

    /// <summary>The server and database, without secrets.</summary>
    public string Server { get; }

    /// <summary>Checks who owns the schema, for all connections of this process.</summary>
    public OwnerCheck Owners { get; }

    /// <summary>Sets up all connections of this process.</summary>
    public ConnectionStart Start { get; }

    /// <summary>The schema of this process.</summary>
    public JobLocksSchema Schema { get; }

    /// <summary>Opens the session that will hold the locks.</summary>
    /// <param name="watch">Limits the time. It is restarted with each answer of the server.</param>
    /// <exception cref="UnusableServerException">The server cannot hold locks.</exception>
    /// <exception cref="NpgsqlException">The server cannot be reached, or refuses the connection.</exception>
    public SessionConnection Open(OpeningWatch watch)
    {
        Exception? last = null;
        Start.ForgetPooler();
        foreach (var host in _hosts)
        {
            try
            {
                watch.Restart();
                return Open(host, watch);
            }
            catch (Exception unfit) when (_hosts.Length > 1)
            {
                // With several hosts, another one may be the primary now.
                last = unfit;
            }
        }

        throw last!;
    }

    /// <summary>Opens a connection outside of every pool: a pooled one would be lent to other code with these locks on it.</summary>
    /// <param name="host">The host; null for the host that holds the locks.</param>
    /// <param name="keepAliveSeconds">The interval in which the driver checks an idle connection; 0 if the caller does that.</param>
    /// <param name="isAsynchronous">Whether it is used asynchronously, and not by one thread that waits for each answer.</param>
    /// <param name="watch">Limits the silence of the server; null for no limit.</param>
    public NpgsqlConnection Connect(string? host = null, int keepAliveSeconds = 0, bool isAsynchronous = false, OpeningWatch? watch = null)
    {
        while (true)
        {
            var settings = Settings(host ?? _host);
            try
            {
                return Connect(settings, keepAliveSeconds, isAsynchronous, watch);
            }
            catch (NpgsqlException ended) when (_startOptions.TryAdaptTo(ended, settings.Options))
            {
                // A time-out of the role ended it. The next connection overrides the time-out while it connects.
            }
        }
    }

    /// <summary>Whether a connection whose set-up failed can be set up when it is opened again.</summary>
    /// <param name="failed">The error.</param>
    /// <param name="connection">A connection of one of the pools.</param>
    public bool CanRetryAfter(Exception failed, NpgsqlConnection connection) =>
        _startOptions.TryAdaptTo(failed, new NpgsqlConnectionStringBuilder(connection.ConnectionString).Options);

    private NpgsqlConnection Connect(NpgsqlConnectionStringBuilder settings, int keepAliveSeconds, bool isAsynchronous, OpeningWatch? watch)
    {
        settings.KeepAlive = keepAliveSeconds;
        settings.MaxAutoPrepare = 0;
        // Much later than the session is closed: after a time-out Npgsql tries to cancel the command, for up to twice the time to connect.
        settings.CommandTimeout = (int)Math.Ceiling(_options.LostAfter.TotalSeconds * 2) + 30;
        var connection = OpenUnpooled(settings.ConnectionString);
        try
        {
            watch?.Connected(connection);
            if (!isAsynchronous) IdleSocket.Of(connection)?.CompleteReadsInline();
            return EngineGap.Explain(connection, schema: null, () =>
            {
                Blocking.Wait(Start.RunAsync(connection, "", watch, blocks: true, CancellationToken.None).AsTask());
                return connection;
            });
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    private NpgsqlConnection OpenUnpooled(string connectionString)
    {
        var connection = Clone(new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false }.ConnectionString);
        try
        {
            connection.Open();
            return connection;
        }
        catch (Exception failed)
        {
            connection.Dispose();
            if (failed is PostgresException refused && UnusableServerException.IsAboutConnect(refused)) throw UnusableServerException.MayNotConnect(connection, refused);
            throw;
        }
    }

    /// <summary>Creates the schema if it is missing, over a connection of its own. Logs which parts of it this role may not use.</summary>
    /// <exception cref="UnusableServerException">This role may not create it.</exception>
    /// <exception cref="NpgsqlException">The server cannot be reached, or refuses the connection.</exception>
    public void PrepareSchema()
    {
        using var connection = Connect();
        SetUp(connection);
        Schema.Prepare(connection, new(_options.LostAfter));
    }

    /// <summary>Notes the server before the session draws from a sequence that it did not use before, over a connection of its own.</summary>
    /// <param name="fence">The OID of the sequence.</param>
    /// <exception cref="NpgsqlException">The server cannot be reached, or refuses the connection.</exception>
    public void NoteServer(uint fence)
    {
        using var connection = Connect();
        SetUp(connection);
        Schema.TryNoteServer(connection, fence);
    }

    /// <summary>
    /// Returns a connection of a small pool to the server that holds the locks, not yet open. It is for statements that hold no locks, after <see
    /// cref="ConnectionSetUp"/>.
    /// </summary>
    /// <param name="use">The pool. Each use has a pool of its own, since their sizes differ.</param>
    public NpgsqlConnection Pooled(PooledUse use)
    {
        var settings = Settings(_host);
        settings.Timeout = Math.Min(settings.Timeout, use.ConnectSeconds);
        // Zero means no limit.
        if (settings.CommandTimeout == 0) settings.CommandTimeout = use.CommandSeconds;
        settings.MaxAutoPrepare = 50;
        settings.AutoPrepareMinUsages = 1;
        settings.NoResetOnClose = true;
        settings.Pooling = true;
        settings.MinPoolSize = 0;
        settings.MaxPoolSize = use.Most;
        settings.ConnectionIdleLifetime = PooledIdleSeconds;
        settings.ConnectionPruningInterval = PooledIdleSeconds / 3;
        return Clone(settings.ConnectionString);
    }

    private NpgsqlConnectionStringBuilder Settings(string host)
    {
        var settings = new NpgsqlConnectionStringBuilder(_source.ConnectionString)
        {
            Host = host,
            ApplicationName = _options.ApplicationName,
            Enlist = false,
            LoadBalanceHosts = false,
            SearchPath = null,
            TargetSessionAttributes = null,
        };
        // The driver's own queries about types would run before the set-up, and use whatever objects the role's search path contains. The data source belongs
        // to the user, so only the connection string can set this.
#pragma warning disable CS0618
        settings.ServerCompatibilityMode = ServerCompatibilityMode.NoTypeLoading;
#pragma warning restore CS0618
        settings.Timeout = CappedSeconds(settings.Timeout, LongestConnectSeconds);
        _startOptions.AddTo(settings);
        // Set by its name, because the next major version of the driver has no such property.
        if (settings.ContainsKey(Multiplexing)) settings[Multiplexing] = false;
        return settings;
    }

    /// <summary>Zero means no limit.</summary>
    private static int CappedSeconds(int seconds, int maximum) => seconds == 0 ? maximum : Math.Min(seconds, maximum);

    private SessionConnection Open(string host, OpeningWatch watch)
    {
        var connection = Connect(host, watch: watch);
        try
        {
            return EngineGap.Explain(connection, _options.Schema, () => Open(connection, host, watch));
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    private SessionConnection Open(NpgsqlConnection connection, string host, OpeningWatch watch)
    {
        var facts = ServerFacts.Read(connection);
        watch.Restart();
        ExclusionProof.Run(connection, facts.Backend, () => Connect(host, watch: watch), watch);
        SetUp(connection);
        watch.Restart();
        var schema = Schema.Prepare(connection, watch);
        var isGuarded = TryGuard(connection, schema.HasWaitQueue);
        EndSetUp(connection);
        _host = host;
        _log.Opened(Server, facts.Backend);
        if (facts.Version < FirstWithIdleTimeout) _log.OldServer(facts.Version / 10_000);
        return new(connection, new(Server, facts.Backend, isGuarded, schema.HasWaitQueue, schema.HasReadModel, schema.HasLimits, schema.HasTimeline, schema.Fence, facts.LockTableSize / LockTableDivisor, _options, Owners));
    }

    /// <summary>Returns false for a role that may not create temporary objects: a full lock table then ends the session.</summary>
    private bool TryGuard(NpgsqlConnection connection, bool hasWaitQueue)
    {
        try
        {
            GuardSql.Create(connection, _options, hasWaitQueue);
            return true;
        }
        catch (PostgresException denied) when (string.Equals(denied.SqlState, PostgresErrorCodes.InsufficientPrivilege, StringComparison.Ordinal))
        {
            return false;
        }
    }

    private void SetUp(NpgsqlConnection connection)
    {
        var seconds = _options.LostAfter.TotalSeconds;
        using var command = new NpgsqlCommand(LockSql.SetUp, connection);
        // Together the keepalives take four thirds of the time after which the server frees a silent session.
        foreach (var value in new[] { seconds * 1000, Math.Ceiling(seconds * 2 / 3), Math.Ceiling(seconds / 6), 4, seconds * 4 / 3 * 1000 })
            command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = Math.Ceiling(value).ToString("0", CultureInfo.InvariantCulture) });
        command.ExecuteNonQuery();
    }

    private static void EndSetUp(NpgsqlConnection connection)
    {
        using var command = new NpgsqlCommand(LockSql.EndSetUp, connection);
        command.ExecuteNonQuery();
    }

    /// <summary>The clone keeps the password and the certificates of the data source.</summary>
    private NpgsqlConnection Clone(string connectionString)
    {
        using var template = _source.CreateConnection();
        var clone = Clone(template, connectionString);
        TrustedRoots.Copy(_source, clone);
        return clone;
    }

    private static NpgsqlConnection Clone(NpgsqlConnection template, string connectionString)
    {
        try
        {
            return template.CloneWith(connectionString);
        }
        catch (NotSupportedException)
        {
            // The password of this data source can only be read asynchronously.
            return Blocking.Wait(template.CloneWithAsync(connectionString).AsTask());
        }
    }
}
