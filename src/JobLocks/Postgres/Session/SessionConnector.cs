using System.Globalization;
using JobLocks.Diagnostics;
using JobLocks.Locks;
using JobLocks.Postgres.Locks;
using JobLocks.Postgres.Schema;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.Session;

/// <summary>Opens the connections of this process, and refuses a server that cannot keep locks, with the cure. Thread-safe.</summary>
internal sealed class SessionConnector
{
    // Of the nominal size of the server's lock table: a full one keeps everybody from connecting.
    private const int ShareOfLockTable = 4;

    private const int OldestVersion = 120_000;
    private const int FirstWithIdleTimeout = 140_000;
    private const int LongestConnectSeconds = 10;
    private const int PooledIdleSeconds = 30;
    private const string Multiplexing = "Multiplexing";

    private readonly NpgsqlDataSource _source;
    private readonly JobLocksOptions _options;
    private readonly JobLocksSchema _schema;
    private readonly ILogger _log;
    private readonly StartOptions _startOptions = new();
    private readonly string[] _hosts;
    private volatile string _host;

    public SessionConnector(NpgsqlDataSource source, JobLocksOptions options, ILogger log)
    {
        _source = source;
        _options = options;
        Owners = new(options);
        _schema = new(options, Owners, log);
        _log = log;
        var settings = new NpgsqlConnectionStringBuilder(source.ConnectionString);
        _hosts = (settings.Host ?? "").Split(',', StringSplitOptions.TrimEntries);
        _host = _hosts[0];
        Server = ServerName.Of(settings);
    }

    /// <summary>Where the locks are, without secrets.</summary>
    public string Server { get; }

    /// <summary>Asks whose the schema is, for all connections of this process.</summary>
    public OwnerCheck Owners { get; }

    /// <summary>Opens the session that will hold the locks.</summary>
    /// <param name="watch">Told how it goes.</param>
    /// <exception cref="WrongServerException">The server cannot keep them.</exception>
    /// <exception cref="NpgsqlException">It cannot be reached, or refuses us.</exception>
    public SessionConnection Open(OpeningWatch watch)
    {
        Exception? last = null;
        foreach (var host in _hosts)
        {
            try
            {
                watch.Restart();
                return Open(host, watch);
            }
            catch (Exception unfit) when (_hosts.Length > 1)
            {
                // One of several: another may be the primary now.
                last = unfit;
            }
        }

        throw last!;
    }

    /// <summary>Opens a connection of our own, outside of every pool: a pooled one would go on to others with our locks on it.</summary>
    /// <param name="host">Null for the one that holds the locks.</param>
    /// <param name="keepAliveSeconds">How often an idle connection proves itself; 0 where we see to that.</param>
    /// <param name="isAsynchronous">Whether it is used asynchronously, and not by one thread that waits for each answer.</param>
    public NpgsqlConnection Connect(string? host = null, int keepAliveSeconds = 0, bool isAsynchronous = false)
    {
        while (true)
        {
            var settings = Settings(host ?? _host);
            try
            {
                return Connect(settings, keepAliveSeconds, isAsynchronous);
            }
            catch (NpgsqlException ended) when (_startOptions.LearnsFrom(ended, settings.Options))
            {
                // A time-out that the role carries. The next connection overrides it when it starts.
            }
        }
    }

    /// <summary>Whether a connection that could not be set up can be when it is opened again.</summary>
    /// <param name="failed">Why.</param>
    /// <param name="connection">Of one of the pools.</param>
    public bool LearnsFrom(Exception failed, NpgsqlConnection connection) =>
        _startOptions.LearnsFrom(failed, new NpgsqlConnectionStringBuilder(connection.ConnectionString).Options);

    private NpgsqlConnection Connect(NpgsqlConnectionStringBuilder settings, int keepAliveSeconds, bool isAsynchronous)
    {
        settings.KeepAlive = keepAliveSeconds;
        settings.MaxAutoPrepare = 0;
        settings.Pooling = false;
        // Long after the session is cut: after a time-out Npgsql tries to cancel the command, for up to twice the time of connecting.
        settings.CommandTimeout = (int)Math.Ceiling(_options.LostAfter.TotalSeconds * 2) + 30;
        var connection = Clone(settings.ConnectionString);
        try
        {
            Open(connection);
            if (!isAsynchronous) IdleSocket.Of(connection)?.HearWithoutPool();
            Blocking.Wait(ConnectionSetUp.RunAsync(connection, "", blocks: true, CancellationToken.None).AsTask());
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    private static void Open(NpgsqlConnection connection)
    {
        try
        {
            connection.Open();
        }
        catch (PostgresException refused) when (WrongServerException.IsAboutConnect(refused))
        {
            throw WrongServerException.MayNotConnect(connection, refused);
        }
    }

    /// <summary>Makes our schema where it is gone, on a connection of its own. Says in the log what this role may not use of it.</summary>
    /// <exception cref="WrongServerException">This role may not make it.</exception>
    /// <exception cref="NpgsqlException">The server cannot be reached, or refuses us.</exception>
    public void PrepareSchema()
    {
        using var connection = Connect();
        SetUp(connection);
        _schema.Prepare(connection, new(_options.LostAfter));
    }

    /// <summary>The session has drawn a fencing token; 0 for none.</summary>
    public void NoteToken(long token) => _schema.NoteToken(token);

    /// <summary>Says in the log what this role may not use of our schema.</summary>
    public void LogUnusableParts(SchemaState state) => _schema.LogUnusableParts(state);

    /// <summary>
    /// A connection of a small pool to the server that holds the locks, not yet open: for statements that hold none, after <see cref="ConnectionSetUp"/>.
    /// </summary>
    /// <param name="use">Which of the pools: each use has its own, since their sizes differ.</param>
    public NpgsqlConnection Pooled(PooledUse use)
    {
        var settings = Settings(_host);
        settings.Timeout = Math.Min(settings.Timeout, use.ConnectSeconds);
        // Zero is no limit.
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
        // The driver's own questions about types would come before our first statement, and be answered by whatever the search path of the role has. The data source is the
        // user's, and so its connection string is the only place to say it.
#pragma warning disable CS0618
        settings.ServerCompatibilityMode = ServerCompatibilityMode.NoTypeLoading;
#pragma warning restore CS0618
        settings.Timeout = CappedSeconds(settings.Timeout, LongestConnectSeconds);
        _startOptions.AddTo(settings);
        // By its name: the next major version of the driver has no such property.
        if (settings.ContainsKey(Multiplexing)) settings[Multiplexing] = false;
        return settings;
    }

    /// <summary>Zero is no limit.</summary>
    private static int CappedSeconds(int seconds, int maximum) => seconds == 0 ? maximum : Math.Min(seconds, maximum);

    private SessionConnection Open(string host, OpeningWatch watch)
    {
        var connection = Connect(host);
        try
        {
            watch.Connected(connection);
            var (backend, version, lockTable) = Ask(connection);
            watch.Restart();
            // Unequal behind every pooler, whatever its mode.
            if (backend != connection.ProcessID) PoolerProbe.Check(connection, () => Connect(host));
            SetUp(connection);
            watch.Restart();
            var schema = _schema.Prepare(connection, watch);
            var isGuarded = TryGuard(connection, schema.HasWaitQueue);
            EndSetUp(connection);
            _host = host;
            _log.Opened(Server, backend);
            if (version < FirstWithIdleTimeout) _log.OldServer(version / 10_000);
            return new(connection, new(Server, backend, isGuarded, schema.HasWaitQueue, schema.HasReadModel, schema.HasLimits, schema.Fence, lockTable / ShareOfLockTable, _options, Owners));
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    private static (int Backend, int Version, long LocalLockTable) Ask(NpgsqlConnection connection)
    {
        using var command = new NpgsqlCommand(LockSql.Ask, connection);
        using var reader = command.ExecuteReader();
        reader.Read();
        if (reader.GetBoolean(1)) throw WrongServerException.Standby();
        var version = reader.GetInt32(2);
        return version < OldestVersion ? throw WrongServerException.TooOld(version) : (reader.GetInt32(0), version, reader.GetInt64(3));
    }

    /// <summary>False for a role that may create nothing temporary: a full lock table then ends the session.</summary>
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
        // Together the keepalives take four thirds of the time after which the server lets go by itself.
        foreach (var value in new[] { seconds * 1000, Math.Ceiling(seconds * 2 / 3), Math.Ceiling(seconds / 6), 4, seconds * 4 / 3 * 1000 })
            command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = Math.Ceiling(value).ToString("0", CultureInfo.InvariantCulture) });
        command.ExecuteNonQuery();
    }

    private static void EndSetUp(NpgsqlConnection connection)
    {
        using var command = new NpgsqlCommand(LockSql.EndSetUp, connection);
        command.ExecuteNonQuery();
    }

    /// <summary>The clone takes the data source's password and certificates along.</summary>
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
            // A source whose password can only be had asynchronously.
            return Blocking.Wait(template.CloneWithAsync(connectionString).AsTask());
        }
    }
}
