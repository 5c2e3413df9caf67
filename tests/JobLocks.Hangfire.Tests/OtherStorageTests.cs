using Hangfire;
using Hangfire.Common;
using Hangfire.InMemory;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>The runs are in a storage that is not PostgreSQL's, and the line is in PostgreSQL.</summary>
[TestFixture]
public sealed class OtherStorageTests
{
    private readonly AnnouncedStates _states = new();
    private readonly InMemoryStorage _storage = new();
    private string _database = "";
    private AdvisoryLocks _locks = null!;
    private AdvisoryLocks _others = null!;
    private LockTable _table = null!;
    private BackgroundJobClient _client = null!;
    private BackgroundJobServer _server = null!;

    [OneTimeSetUp]
    public async Task Start()
    {
        _database = await AssemblySetup.Server.CreateDatabaseAsync(GetType().Name);
        (_locks, _others, _table) = (AdvisoryLocks.Connect(_database), AdvisoryLocks.Connect(_database), new(_database));
        new StorageConfiguration(_storage).UseJobLocks(_locks);
        JobFilterProviderCollection filters = [JobFilterProviders.Providers, _states];
        _client = new(_storage, filters);
        _server = new(
            new BackgroundJobServerOptions
            {
                WorkerCount = 3,
                Queues = ["default", "critical"],
                SchedulePollingInterval = TimeSpan.FromMilliseconds(200),
                FilterProvider = filters,
                // Not the current one, which another fixture's container may have set.
                Activator = new JobActivator(),
            },
            _storage);
    }

    [OneTimeTearDown]
    public async Task End()
    {
        _server.Dispose();
        await _locks.DisposeAsync();
        await _others.DisposeAsync();
        _storage.Dispose();
    }

    [Test, CancelAfter(60_000)]
    public async Task Leaves_no_place_when_its_host_stops_in_order(CancellationToken stop)
    {
        var stage = Stage.Open();
        await using var held = await _others.TryAcquireAsync(stage.LockName, stop);
        var locks = AdvisoryLocks.Connect(_database);
        using var storage = new InMemoryStorage();
        storage.UseJobLocks(locks);
        JobFilterProviderCollection filters = [JobFilterProviders.Providers, _states];
        var server = new BackgroundJobServer(new BackgroundJobServerOptions { WorkerCount = 2, FilterProvider = filters, Activator = new JobActivator() }, storage);
        var id = new BackgroundJobClient(storage, filters).Enqueue<WaitingJob>(job => job.Run(stage.Id));
        await _states.NextAsync<ScheduledState>(id, stop);

        server.Dispose();
        await locks.DisposeAsync();

        Assert.That(await _table.AskAsync($"SELECT count(*) FROM joblocks.line WHERE name = '{stage.LockName}'"), Is.EqualTo(0L));
    }

    [Test, CancelAfter(60_000)]
    public async Task Waits_in_line_in_order_and_in_its_queue(CancellationToken stop)
    {
        var stage = Stage.Open();
        stage.LetLeave();
        var held = await _others.TryAcquireAsync(stage.LockName, stop);
        var first = await ParkedAsync(_client.Enqueue<WaitingJob>(job => job.Pass(stage.Id, 1)), stop);
        var second = await ParkedAsync(_client.Create<WaitingJob>(job => job.Pass(stage.Id, 2), new EnqueuedState("critical")), stop);

        await held!.DisposeAsync();
        foreach (var id in new[] { first, second }) await _states.NextAsync<SucceededState>(id, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(stage.Entries.Entries.Select(static entry => entry.Number), Is.EqualTo([1, 2]));
            Assert.That(_states.NamesOf(second), Is.EqualTo(["Enqueued", "Processing", "Scheduled", "Processing", "Succeeded"]));
            Assert.That(await _table.LineAsync(), Is.Empty);
            Assert.That(HangfireRuns.Of(_storage).Id, Does.StartWith("memory: Hangfire "), "its places are given up when its process is gone");
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Drops_the_place_of_a_deleted_run(CancellationToken stop)
    {
        var stage = Stage.Open();
        var held = await _others.TryAcquireAsync(stage.LockName, stop);
        var deleted = await ParkedAsync(_client.Enqueue<WaitingJob>(job => job.Pass(stage.Id, 1)), stop);
        var next = await ParkedAsync(_client.Enqueue<WaitingJob>(job => job.Pass(stage.Id, 2)), stop);

        _client.Delete(deleted);
        await held!.DisposeAsync();
        await _states.NextAsync<SucceededState>(next, stop);

        Assert.That(stage.Entries.Entries.Select(static entry => entry.Number), Is.EqualTo([2]));
        Assert.That(await _table.LineAtLastAsync(stop), Is.Empty);
    }

    private async Task<string> ParkedAsync(string id, CancellationToken stop)
    {
        await _states.NextAsync<ScheduledState>(id, stop);
        return id;
    }

    private sealed record StorageConfiguration(InMemoryStorage Entry) : IGlobalConfiguration<InMemoryStorage>;
}
