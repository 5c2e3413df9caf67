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
        (_locks, _others, _table) = (AdvisoryLocks.Connect(_database, SetUp), AdvisoryLocks.Connect(_database), new(_database));
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
    public async Task Leaves_no_entry_when_its_host_stops_in_order(CancellationToken stop)
    {
        var stage = Stage.Open();
        await using var held = await _others.TryAcquireAsync(stage.LockName, stop);
        var locks = AdvisoryLocks.Connect(_database);
        using var storage = new InMemoryStorage();
        var (server, client, states) = Serve(storage, locks);
        await states.NextAsync<ScheduledState>(client.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop);

        server.Dispose();
        await locks.DisposeAsync();

        Assert.That(await _table.AskAsync($"SELECT count(*) FROM joblocks.wait_queue WHERE name = '{stage.LockName}'"), Is.EqualTo(0L));
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_bypassed_at_once_when_its_server_stops_and_then_leaves_no_entry([Values] bool isStorageDisposed, CancellationToken stop)
    {
        var stage = Stage.Open();
        var held = await _others.TryAcquireAsync(stage.LockName, stop);
        await using var locks = AdvisoryLocks.Connect(_database);
        using var storage = new InMemoryStorage();
        var (server, client, states) = Serve(storage, locks);
        for (var number = 1; number <= 2; number++) await states.NextAsync<ScheduledState>(client.Enqueue<WaitingJob>(job => job.Pass(stage.Id, number)), stop);

        server.Dispose();
        if (isStorageDisposed) storage.Dispose();
        await held!.DisposeAsync();

        await using (await _others.AcquireAsync(stage.LockName, TimeSpan.FromSeconds(10), stop))
        {
        }

        var left = await Patience.UntilAsync(() => _table.AskAsync("SELECT count(*) FROM joblocks.wait_queue WHERE name = $1", stage.LockName), static count => count is 0L, stop);
        Assert.That((left, stage.Runs), Is.EqualTo((0L, 0)));
    }

    [Test, CancelAfter(60_000)]
    public async Task Runs_what_was_enqueued_anew_where_the_run_that_waited_was_deleted([Values] bool keepsNewest, CancellationToken stop)
    {
        var stage = Stage.Open();
        stage.LetLeave();
        var held = await _others.TryAcquireAsync(stage.LockName, stop);
        var deleted = await ParkedAsync(EnqueueOneOf(stage, 1, keepsNewest), stop);

        _client.Delete(deleted);
        var anew = await ParkedAsync(EnqueueOneOf(stage, 2, keepsNewest), stop);
        await held!.DisposeAsync();
        await _states.NextAsync<SucceededState>(anew, stop);

        Assert.That(stage.Entries.Entries.Select(static entry => entry.Number), Is.EqualTo([2]));
        Assert.That(await _table.LineAtLastAsync(stop), Is.Empty);
    }

    [Test, CancelAfter(60_000)]
    public async Task Waits_in_order_and_in_its_own_job_queue(CancellationToken stop)
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
    public async Task Removes_the_entry_of_a_deleted_run(CancellationToken stop)
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

    /// <summary>Places of a memory that is gone are removed as soon as its process cannot be looking for a new session.</summary>
    private static void SetUp(JobLocksOptions options) =>
        (options.HeartbeatInterval, options.LostAfter) = (TimeSpan.FromMilliseconds(500), TimeSpan.FromSeconds(5));

    /// <summary>A second storage in memory. Its ids begin with 1 like those of the first, so its states are announced apart.</summary>
    private static (BackgroundJobServer Server, BackgroundJobClient Client, AnnouncedStates States) Serve(InMemoryStorage storage, AdvisoryLocks locks)
    {
        storage.UseJobLocks(locks);
        var states = new AnnouncedStates();
        JobFilterProviderCollection filters = [JobFilterProviders.Providers, states];
        return (new(new BackgroundJobServerOptions { WorkerCount = 2, FilterProvider = filters, Activator = new JobActivator() }, storage), new(storage, filters), states);
    }

    /// <summary>A run of which one at a time waits.</summary>
    private string EnqueueOneOf(Stage stage, int number, bool keepsNewest) => keepsNewest
        ? _client.Enqueue<WaitingJob>(job => job.RunOrReplace(stage.Id, number))
        : _client.Enqueue<WaitingJob>(job => job.RunOrJoin(stage.Id, number));

    private async Task<string> ParkedAsync(string id, CancellationToken stop)
    {
        await _states.NextAsync<ScheduledState>(id, stop);
        return id;
    }

    private sealed record StorageConfiguration(InMemoryStorage Entry) : IGlobalConfiguration<InMemoryStorage>;
}
