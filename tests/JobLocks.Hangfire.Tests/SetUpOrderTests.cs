using Hangfire;
using Hangfire.PostgreSql;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace JobLocks.Hangfire.Tests;

/// <summary>
/// Processes that come up while runs wait, and that no new job comes to: whatever the order of their configuration, the runs are woken. They
/// change what is the current storage of the whole process.
/// </summary>
[TestFixture, NonParallelizable]
public sealed class SetUpOrderTests
{
    private readonly List<HangfireProcess> _open = [];
    private AnnouncedStates _states = null!;
    private string _database = null!;
    private Stage _stage = null!;

    [SetUp]
    public async Task CreateDatabase()
    {
        _database = await AssemblySetup.Server.CreateDatabaseAsync(nameof(SetUpOrderTests));
        _states = new();
        _stage = Stage.Open();
        _stage.LetLeave();
        ConfiguredGates.SetDefault(null);
    }

    [TearDown]
    public async Task Forget()
    {
        foreach (var process in _open) await process.DisposeAsync();
        _open.Clear();
        ConfiguredGates.SetDefault(null);
    }

    [Test, CancelAfter(90_000)]
    public async Task Wakes_runs_of_a_storage_that_became_the_current_one_later([Values] bool hadAnother, CancellationToken stop)
    {
        JobStorage.Current = hadAnother ? await StorageAsync("another", stop) : null!;
        var waiting = await LeaveWaitingAsync(_database, stop);
        await using var locks = AdvisoryLocks.Connect(_database);
        await using var process = new HangfireProcess("server-0", _database, new() { UsesJobLocks = false }, _states);

        GlobalConfiguration.Configuration.UseJobLocks(locks).UseStorage(process.Storage);
        process.StartServer();

        await _states.NextAsync<SucceededState>(waiting, stop);
        Assert.That(_stage.Runs, Is.EqualTo(1));
    }

    [Test, CancelAfter(90_000)]
    public async Task Wakes_runs_of_two_storages_that_are_given_to_their_servers_alone(CancellationToken stop)
    {
        JobStorage.Current = null!;
        string[] databases = [_database, await AssemblySetup.Server.CreateDatabaseAsync("second", stop)];
        await using var locks = AdvisoryLocks.Connect(_database);
        GlobalConfiguration.Configuration.UseJobLocks(locks);
        await LeaveWaitingAsync(databases, ownLocks: false, stop);

        foreach (var database in databases)
        {
            var process = new HangfireProcess("server-0", database, new() { UsesJobLocks = false }, _states);
            _open.Add(process);
            process.StartServer();
        }

        await _stage.EnteredAsync(stop, nth: 2);
        Assert.That(_stage.Runs, Is.EqualTo(2));
    }

    [Test, CancelAfter(90_000)]
    public async Task Wakes_runs_of_a_storage_that_was_told_of_its_locks(CancellationToken stop)
    {
        JobStorage.Current = null!;
        var waiting = await LeaveWaitingAsync(_database, stop);
        await using var locks = AdvisoryLocks.Connect(_database);
        await using var process = new HangfireProcess("server-0", _database, new() { UsesJobLocks = false }, _states);

        process.Storage.UseJobLocks(locks);
        process.StartServer();

        await _states.NextAsync<SucceededState>(waiting, stop);
        Assert.That(_stage.Runs, Is.EqualTo(1));
    }

    [Test, CancelAfter(90_000)]
    public async Task Wakes_runs_in_a_host_that_names_the_locks_first(CancellationToken stop)
    {
        var waiting = await LeaveWaitingAsync(_database, stop);
        using var host = HostOf(_database);

        await host.StartAsync(stop);
        var end = await EndOfAsync(waiting, host.Services.GetRequiredService<JobStorage>(), stop);
        await host.StopAsync(stop);

        Assert.That((end, _stage.Runs), Is.EqualTo((SucceededState.StateName, 1)));
    }

    [Test, CancelAfter(90_000)]
    public async Task Keeps_the_locks_of_two_hosts_apart([Values] bool areBuiltFirst, CancellationToken stop)
    {
        var other = await AssemblySetup.Server.CreateDatabaseAsync("other", stop);
        using var first = HostOf(_database);
        if (!areBuiltFirst) await first.StartAsync(stop);
        using var second = HostOf(other);
        if (areBuiltFirst) await first.StartAsync(stop);
        await second.StartAsync(stop);

        foreach (var (host, end) in new[] { (first, DeletedState.StateName), (second, SucceededState.StateName) })
        {
            await using var held = await first.Services.GetRequiredService<IJobLocks>().TryAcquireAsync(_stage.LockName, stop);
            var storage = host.Services.GetRequiredService<JobStorage>();
            var id = host.Services.GetRequiredService<IBackgroundJobClient>().Enqueue<SyncJob>(job => job.RunOrSkip(_stage.Id));
            Assert.That(await EndOfAsync(id, storage, stop), Is.EqualTo(end));
        }

        await first.StopAsync(stop);
        await second.StopAsync(stop);
    }

    [Test, CancelAfter(90_000)]
    public async Task Keeps_the_locks_of_two_configurations_apart([Values] bool namesStorageFirst, [Values] bool hadAnother, CancellationToken stop)
    {
        JobStorage.Current = hadAnother ? await StorageAsync("another", stop) : null!;
        if (hadAnother && !namesStorageFirst) JobStorage.Current.UseJobLocks(await ClosedLocksAsync());
        await using var locks = AdvisoryLocks.Connect(_database);
        await using var others = AdvisoryLocks.Connect(_database);
        var (first, second) = (await StorageAsync("first", stop), await StorageAsync("second", stop));

        foreach (var (storage, its) in new[] { (first, locks), (second, others) })
        {
            if (namesStorageFirst) GlobalConfiguration.Configuration.UseStorage(storage);
            GlobalConfiguration.Configuration.UseJobLocks(its);
            if (!namesStorageFirst) GlobalConfiguration.Configuration.UseStorage(storage);
        }

        using (Assert.EnterMultipleScope())
        {
            Assert.That(ConfiguredGates.GetOrAssign(first)!.Inspection, Is.SameAs(locks.Inspection));
            Assert.That(ConfiguredGates.GetOrAssign(second)!.Inspection, Is.SameAs(others.Inspection));
        }
    }

    private static async Task<AdvisoryLocks> ClosedLocksAsync()
    {
        var locks = AdvisoryLocks.Connect(AssemblySetup.Server.ConnectionString);
        await locks.DisposeAsync();
        return locks;
    }

    private static async Task<PostgreSqlStorage> StorageAsync(string name, CancellationToken stop)
    {
        await using var process = new HangfireProcess("server-0", await AssemblySetup.Server.CreateDatabaseAsync(name, stop), new() { UsesJobLocks = false }, new AnnouncedStates());
        return process.Storage;
    }

    private async Task<string> LeaveWaitingAsync(string database, CancellationToken stop) => (await LeaveWaitingAsync([database], ownLocks: true, stop))[0];

    /// <summary>Processes have a run wait in each database, and are gone before the lock is free.</summary>
    private async Task<IReadOnlyList<string>> LeaveWaitingAsync(IEnumerable<string> databases, bool ownLocks, CancellationToken stop)
    {
        await using var holder = AdvisoryLocks.Connect(_database);
        await using var held = await holder.TryAcquireAsync(_stage.LockName, stop);
        var waiting = new List<string>();
        foreach (var database in databases)
        {
            var states = new AnnouncedStates();
            await using var process = new HangfireProcess("server-0", database, new() { UsesJobLocks = ownLocks, LockDatabase = _database }, states);
            process.StartServer();
            var id = process.Client.Enqueue<WaitingJob>(job => job.Run(_stage.Id));
            await states.NextAsync<ScheduledState>(id, stop);
            await process.StopServerAsync(stop);
            // As if it was another process, which this one knows nothing of.
            if (!ownLocks) ConfiguredGates.GetOrAssign(process.Storage)!.RemoveStore(HangfireRuns.Of(process.Storage));
            waiting.Add(id);
        }

        return waiting;
    }

    private static IHost HostOf(string database)
    {
        var builder = Host.CreateApplicationBuilder();
        // Hangfire keeps what it logs with for the whole process, so it must outlive this host.
        builder.Services.AddSingleton<ILoggerFactory>(NullLoggerFactory.Instance);
        builder.Services.AddJobLocks(database);
        builder.Services.AddHangfire((services, hangfire) => hangfire
            .UseJobLocks(services)
            .UsePostgreSqlStorage(postgres => postgres.UseNpgsqlConnection(database), new() { QueuePollInterval = TimeSpan.FromMilliseconds(100) }));
        builder.Services.AddHangfireServer(static server => server.WorkerCount = 2);
        return builder.Build();
    }

    private static async Task<string> EndOfAsync(string jobId, JobStorage storage, CancellationToken stop) =>
        await Patience.UntilAsync(
            () => Task.FromResult(storage.GetMonitoringApi().JobDetails(jobId).History[0].StateName),
            static state => state is "Succeeded" or "Deleted" or "Failed",
            stop);
}
