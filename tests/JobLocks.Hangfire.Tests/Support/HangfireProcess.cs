using System.Collections.Concurrent;
using Hangfire;
using Hangfire.Common;
using Hangfire.PostgreSql;
using Hangfire.PostgreSql.Factories;
using Npgsql;

namespace JobLocks.Hangfire.Tests.Support;

/// <summary>
/// What one process has of Hangfire and of JobLocks: a storage, a client, locks, a server. Several of them in a test
/// share nothing but the database.
/// </summary>
internal sealed class HangfireProcess : IAsyncDisposable
{
    private readonly string _connectionString;
    private readonly HangfireSetup _setup;
    private readonly JobFilterProviderCollection _filters;
    private readonly CountingActivator _activator = new();
    private BackgroundJobServer? _server;

    public HangfireProcess(string name, string database, HangfireSetup setup, IJobFilterProvider states)
    {
        Name = name;
        _setup = setup;
        _filters = [setup.HasOwnProviders ? new JobFilterAttributeFilterProvider() : JobFilterProviders.Providers, states];
        if (setup.Filters is not null) _filters.Add(setup.Filters);
        // A pool of its own, and a small one: many fixtures share the server.
        _connectionString = new NpgsqlConnectionStringBuilder(database) { ApplicationName = $"Hangfire of {name}", MaxPoolSize = 20 }.ConnectionString;
        Storage = NewStorage();
        Client = new(Storage, _filters);
        Recurring = new(Storage, _filters);
        if (!setup.UsesJobLocks) return;

        Locks = AdvisoryLocks.Connect(
            setup.LockDatabase ?? database,
            options =>
            {
                options.ApplicationName = name;
                options.HeartbeatInterval = TimeSpan.FromMilliseconds(100);
                setup.Options?.Invoke(options);
            },
            setup.Loggers);
        new StorageConfiguration(Storage).UseJobLocks(Locks);
    }

    public string Name { get; }

    public PostgreSqlStorage Storage { get; }

    public BackgroundJobClient Client { get; }

    public RecurringJobManager Recurring { get; }

    public AdvisoryLocks? Locks { get; }

    /// <summary>How many instances of jobs were made for runs.</summary>
    public int Activations => _activator.Count;

    public void StartServer() => _server = new(
        new BackgroundJobServerOptions
        {
            ServerName = Name,
            // The last queue is this server's alone: a test can choose who runs its job.
            Queues = ["default", "critical", Name],
            WorkerCount = _setup.Workers,
            SchedulePollingInterval = TimeSpan.FromMilliseconds(200),
            CancellationCheckInterval = _setup.CancellationCheckInterval,
            FilterProvider = _filters,
            Activator = _activator,
        },
        Storage);

    /// <summary>What a container does for jobs that are enqueued by their interface.</summary>
    public void Activate<TService, TJob>() => _activator.Jobs[typeof(TService)] = typeof(TJob);

    /// <summary>Past Hangfire, into its database.</summary>
    public NpgsqlConnection OpenConnection()
    {
        var connection = new NpgsqlConnection(_connectionString);
        connection.Open();
        return connection;
    }

    /// <summary>As a host does that stops: its server takes no further jobs, and waits for those that it has.</summary>
    public void SendStop() => _server!.SendStop();

    /// <summary>As a deployment does: runs are told to stop, and those that do are put back.</summary>
    public async Task StopServerAsync(CancellationToken stop)
    {
        if (_server is null) return;

        _server.SendStop();
        await _server.WaitForShutdownAsync(stop);
        _server.Dispose();
        _server = null;
    }

    public async ValueTask DisposeAsync()
    {
        await StopServerAsync(CancellationToken.None);
        if (Locks is not null) await Locks.DisposeAsync();
        await using var pool = new NpgsqlConnection(_connectionString);
        NpgsqlConnection.ClearPool(pool);
    }

    private PostgreSqlStorage NewStorage()
    {
        var options = new PostgreSqlStorageOptions { QueuePollInterval = _setup.QueuePollInterval, SchemaName = _setup.Schema };
        if (_setup.InvisibilityTimeout is { } timeout) options.InvisibilityTimeout = timeout;
        if (_setup.RecoversAfter is { } recovery)
        {
            options.UseSlidingInvisibilityTimeout = true;
            options.InvisibilityTimeout = recovery;
            options.DistributedLockTimeout = recovery;
        }

        return new(new NpgsqlConnectionFactory(_connectionString, options), options);
    }

    /// <summary>What <c>UsePostgreSqlStorage</c> returns, without making this storage the current one of the whole process.</summary>
    private sealed record StorageConfiguration(PostgreSqlStorage Entry) : IGlobalConfiguration<PostgreSqlStorage>;

    private sealed class CountingActivator : JobActivator
    {
        private int _count;

        public ConcurrentDictionary<Type, Type> Jobs { get; } = new();

        public int Count => Volatile.Read(ref _count);

        public override object ActivateJob(Type jobType)
        {
            Interlocked.Increment(ref _count);
            return Activator.CreateInstance(Jobs.GetValueOrDefault(jobType, jobType))!;
        }
    }
}
