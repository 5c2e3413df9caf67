using System.Linq.Expressions;
using Hangfire;
using Hangfire.States;
using Hangfire.Storage.Monitoring;
using Npgsql;

namespace JobLocks.Hangfire.Tests.Support;

/// <summary>Real servers of Hangfire over one real database, each as if in a process of its own.</summary>
internal sealed class HangfireServers : IAsyncDisposable
{
    private readonly string _database;
    private readonly HangfireSetup _setup;
    private readonly List<HangfireProcess> _processes = [];

    private HangfireServers(string database, HangfireSetup setup)
    {
        _database = database;
        _setup = setup;
        Locks = new(setup.LockDatabase ?? database);
    }

    /// <summary>Every state that Hangfire applied, in each of the processes.</summary>
    public AnnouncedStates States { get; } = new();

    /// <summary>What PostgreSQL says about the locks.</summary>
    public LockTable Locks { get; }

    /// <summary>Where the locks are.</summary>
    public string Database => _setup.LockDatabase ?? _database;

    public BackgroundJobClient Client => this[0].Client;

    public HangfireProcess this[int index] => _processes[index];

    public static HangfireServers Start(string database, HangfireSetup? setup = null)
    {
        var servers = new HangfireServers(database, setup ?? new());
        for (var i = 0; i < servers._setup.Servers; i++) servers.Add().StartServer();
        return servers;
    }

    /// <summary>A process without a server yet.</summary>
    public HangfireProcess Add(HangfireSetup? setup = null)
    {
        var process = new HangfireProcess($"server-{_processes.Count}", _database, setup ?? _setup, States);
        _processes.Add(process);
        return process;
    }

    /// <summary>Ends all processes, and starts as many: what the old ones knew is gone.</summary>
    public async Task StartAnewAsync()
    {
        await Task.WhenAll(_processes.Select(static process => process.DisposeAsync().AsTask()));
        _processes.Clear();
        for (var i = 0; i < _setup.Servers; i++) Add().StartServer();
    }

    public string Enqueue<T>(Expression<Func<T, Task>> call) => Client.Enqueue(call);

    public string Enqueue<T>(Expression<Action<T>> call) => Client.Enqueue(call);

    /// <summary>Enqueues for one of the servers.</summary>
    public string EnqueueFor<T>(HangfireProcess server, Expression<Func<T, Task>> call) => Client.Enqueue(server.Name, call);

    public string EnqueueFor<T>(HangfireProcess server, Expression<Action<T>> call) => Client.Enqueue(server.Name, call);

    /// <summary>Waits until a run is parked.</summary>
    /// <returns>Its id.</returns>
    public async Task<string> ParkedAsync(string jobId, CancellationToken stop, int nth = 1)
    {
        await States.NextAsync<ScheduledState>(jobId, stop, nth);
        return jobId;
    }

    /// <summary>What is stored about a job, once it is in a state: a state is announced a moment before it is committed.</summary>
    public Task<JobDetailsDto> StoredAsync(string jobId, string state, CancellationToken stop, TimeSpan? atMost = null) =>
        Patience.UntilAsync(
            () => Task.FromResult(this[0].Storage.GetMonitoringApi().JobDetails(jobId)),
            details => string.Equals(details.History[0].StateName, state, StringComparison.Ordinal),
            stop,
            atMost);

    /// <summary>How many jobs there are, in whatever state.</summary>
    public long CountJobs()
    {
        using var connection = this[0].OpenConnection();
        using var command = new NpgsqlCommand("SELECT count(*) FROM hangfire.job", connection);
        return (long)command.ExecuteScalar()!;
    }

    /// <summary>A parameter of a job as it is stored; null where it has none.</summary>
    public string? Parameter(string jobId, string name)
    {
        using var connection = this[0].Storage.GetConnection();
        return connection.GetJobParameter(jobId, name);
    }

    public async ValueTask DisposeAsync() => await Task.WhenAll(_processes.Select(static process => process.DisposeAsync().AsTask()));
}
