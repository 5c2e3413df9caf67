using System.Globalization;
using JobLocks.Diagnostics;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres;

/// <summary>Opens the connections of this process, and refuses a server that cannot keep locks, with the cure. Thread-safe.</summary>
internal sealed class SessionOpening
{
    // Of the nominal size of the server's lock table: a full one keeps everybody from connecting.
    private const int ShareOfLockTable = 4;

    private const int OldestVersion = 120_000;
    private const int FirstWithIdleTimeout = 140_000;
    private const int LongestConnectSeconds = 10;
    private const int MostPooled = 8;
    private const int PooledIdleSeconds = 30;

    private readonly NpgsqlDataSource _source;
    private readonly JobLocksOptions _options;
    private readonly JobLocksSchema _schema;
    private readonly ILogger _log;
    private readonly string[] _hosts;
    private volatile string _host;

    public SessionOpening(NpgsqlDataSource source, JobLocksOptions options, ILogger log)
    {
        _source = source;
        _options = options;
        _schema = new(options, log);
        _log = log;
        var settings = new NpgsqlConnectionStringBuilder(source.ConnectionString);
        _hosts = (settings.Host ?? "").Split(',', StringSplitOptions.TrimEntries);
        _host = _hosts[0];
        Server = ServerName.Of(settings);
    }

    /// <summary>Where the locks are, without secrets.</summary>
    public string Server { get; }

    /// <summary>Opens the session that will hold the locks.</summary>
    /// <param name="watch">Told how it goes.</param>
    /// <exception cref="WrongServerException">The server cannot keep them.</exception>
    /// <exception cref="NpgsqlException">It cannot be reached, or refuses us.</exception>
    public OpenedSession Open(OpeningWatch watch)
    {
        Exception? last = null;
        foreach (var host in _hosts)
        {
            try
            {
                watch.GoOn();
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
    public NpgsqlConnection Connect(string? host = null, int keepAliveSeconds = 0)
    {
        var settings = Settings(host ?? _host);
        settings.KeepAlive = keepAliveSeconds;
        settings.MaxAutoPrepare = 0;
        settings.Pooling = false;
        // Long after the session is cut: after a time-out Npgsql tries to cancel the command, for up to twice the time of connecting.
        settings.CommandTimeout = (int)Math.Ceiling(_options.LostAfter.TotalSeconds * 2) + 30;
        var connection = Clone(settings.ConnectionString);
        try
        {
            connection.Open();
            return connection;
        }
        catch
        {
            connection.Dispose();
            throw;
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

    /// <summary>Says in the log what this role may not use of our schema.</summary>
    public void SayWhatIsMissing(SchemaState state) => _schema.SayWhatIsMissing(state);

    /// <summary>
    /// A connection of a small pool to the server that holds the locks, not yet open: for statements that hold none, after <see cref="PooledSetUp"/>.
    /// </summary>
    public NpgsqlConnection Pooled()
    {
        var settings = Settings(_host);
        settings.MaxAutoPrepare = 50;
        settings.AutoPrepareMinUsages = 1;
        settings.NoResetOnClose = true;
        settings.Pooling = true;
        settings.MinPoolSize = 0;
        settings.MaxPoolSize = MostPooled;
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
            Multiplexing = false,
            TargetSessionAttributes = null,
        };
        // Zero would be without a limit.
        settings.Timeout = settings.Timeout == 0 ? LongestConnectSeconds : Math.Min(settings.Timeout, LongestConnectSeconds);
        return settings;
    }

    private OpenedSession Open(string host, OpeningWatch watch)
    {
        var connection = Connect(host);
        try
        {
            watch.Connected(connection);
            var (backend, version, lockTable) = Ask(connection);
            watch.GoOn();
            // Unequal behind every pooler, whatever its mode.
            if (backend != connection.ProcessID) PoolerProbe.Check(connection, () => Connect(host));
            SetUp(connection);
            watch.GoOn();
            var schema = _schema.Prepare(connection, watch);
            var isGuarded = TryGuard(connection, schema.HasLine);
            EndSetUp(connection);
            _host = host;
            _log.Opened(Server, backend);
            if (version < FirstWithIdleTimeout) _log.OldServer(version / 10_000);
            return new(connection, new(Server, backend, isGuarded, schema.HasLine, schema.HasLedger, schema.Fence, lockTable / ShareOfLockTable, _options));
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    private static (int Backend, int Version, long LockTable) Ask(NpgsqlConnection connection)
    {
        using var command = new NpgsqlCommand(LockSql.Ask, connection);
        using var reader = command.ExecuteReader();
        reader.Read();
        if (reader.GetBoolean(1)) throw WrongServerException.Standby();
        var version = reader.GetInt32(2);
        return version < OldestVersion ? throw WrongServerException.TooOld(version) : (reader.GetInt32(0), version, reader.GetInt64(3));
    }

    /// <summary>False for a role that may create nothing temporary: a full lock table then ends the session.</summary>
    private bool TryGuard(NpgsqlConnection connection, bool hasLine)
    {
        try
        {
            GuardSql.Create(connection, _options, hasLine);
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
        TrustedRoots.Bring(_source, clone);
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
