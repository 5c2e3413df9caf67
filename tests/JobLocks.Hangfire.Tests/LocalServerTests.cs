using System.Diagnostics;
using Hangfire;
using Hangfire.Common;
using Hangfire.Server;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>A process serves a storage as long as it has a server of that storage that takes runs.</summary>
[TestFixture]
public sealed class LocalServerTests : RealServers
{
    private const string Served =
        "SELECT count(*) FROM pg_locks WHERE classid = 1246524276 AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

    private protected override HangfireSetup Setup => new() { Servers = 0 };

    [Test]
    public void Finds_the_list_of_servers_in_this_version_of_Hangfire() => Assert.That(LocalServerList.IsKnown, Is.True);

    [Test]
    public async Task Serves_no_storage_with_only_a_client_beside_a_server_of_its_process_number_in_another_container()
    {
        await using var client = await ProcessAsync("containers");
        var table = new LockTable(client.Database);
        await table.RunAsync(
            $"INSERT INTO hangfire.server (id, data, lastheartbeat) VALUES ('{Environment.MachineName}:{Environment.ProcessId}:0d4d3c5b', '{{\"WorkerCount\": 3, \"Queues\": [\"default\"], \"StartedAt\": \"{DateTime.UtcNow:O}\"}}', now())");

        Assert.That((client.Servers.Any(), client.Servers.FreeWorkers.Count), Is.EqualTo((false, 0)));
    }

    [Test, CancelAfter(60_000)]
    public async Task Serves_its_storage_once_a_server_is_started(CancellationToken stop)
    {
        await using var process = await ProcessAsync("later");
        var before = process.Servers.Any();

        process.Start("first");

        using (Assert.EnterMultipleScope())
        {
            Assert.That(before, Is.False);
            Assert.That(await Patience.UntilAsync(() => Task.FromResult(process.Servers.Any()), static any => any, stop), Is.True);
            Assert.That(process.FreeQueues, Is.EqualTo(["first"]));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Serves_the_queues_of_the_server_that_is_left_of_two(CancellationToken stop)
    {
        await using var process = await ProcessAsync("two");
        var first = process.Start("first");
        process.Start("second");
        var before = await Patience.UntilAsync(() => process.FreeQueuesAsync(), static queues => queues is ["first", "second"], stop);

        first.Dispose();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(before, Is.EqualTo(["first", "second"]));
            Assert.That(process.FreeQueues, Is.EqualTo(["second"]));
            Assert.That(process.Servers.Any(), Is.True);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Serves_no_queue_of_a_server_that_was_told_to_stop_and_still_has_a_run(CancellationToken stop)
    {
        var stage = NewStage();
        await using var process = await ProcessAsync("told");
        var server = process.Start("first");
        process.Client.Enqueue<WaitingJob>("first", job => job.Occupy(stage.Id));
        await stage.EnteredAsync(stop);
        var before = await Patience.UntilAsync(() => process.FreeQueuesAsync(), static queues => queues is ["first"], stop);

        server.SendStop();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(before, Is.EqualTo(["first"]));
            Assert.That(await Patience.UntilAsync(() => process.FreeQueuesAsync(), static queues => queues is [], stop), Is.Empty);
            Assert.That(process.Servers.Any(), Is.False);
        }

        stage.LetLeave();
    }

    [Test, CancelAfter(60_000)]
    public async Task Serves_the_queues_of_a_server_with_a_run_whose_job_was_deleted(CancellationToken stop)
    {
        var stage = NewStage();
        await using var process = await ProcessAsync("deleted");
        process.Start("first");
        var id = process.Client.Enqueue<WaitingJob>("first", job => job.Occupy(stage.Id));
        await stage.EnteredAsync(stop);
        await Patience.UntilAsync(() => process.FreeQueuesAsync(), static queues => queues is ["first"], stop);

        process.Client.Delete(id);
        await process.AbortedAsync(stop);

        Assert.That(process.FreeQueues, Is.EqualTo(["first"]));
        stage.LetLeave();
    }

    [Test, CancelAfter(90_000)]
    public async Task Wakes_a_run_where_the_clock_of_the_database_is_minutes_behind_and_the_server_has_a_name_of_its_own(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        var database = await AssemblySetup.Server.CreateDatabaseAsync($"{nameof(LocalServerTests)}_clock", stop);
        await using var servers = HangfireServers.Start(database, new() { Servers = 0 });
        servers.Add();
        await servers.Locks.RunAsync("CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.lastheartbeat := NEW.lastheartbeat - interval ''3 minutes''; RETURN NEW; END'");
        await servers.Locks.RunAsync("CREATE TRIGGER late BEFORE INSERT OR UPDATE ON hangfire.server FOR EACH ROW EXECUTE FUNCTION late()");
        servers[0].StartServer();
        await using var other = AdvisoryLocks.Connect(database);
        var held = await other.TryAcquireAsync(stage.LockName, stop);
        await servers.ParkedAsync(servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop);
        var served = await Patience.UntilAsync(() => servers.Locks.AskAsync(Served), static count => count is 1L, stop);

        await held!.DisposeAsync();

        Assert.That(served, Is.EqualTo(1L));
        await stage.EnteredAsync(stop, atMost: TimeSpan.FromSeconds(40));
    }

    [Test, CancelAfter(120_000)]
    public async Task Starts_a_run_at_once_on_an_idle_process_while_the_other_one_stops(CancellationToken stop)
    {
        var (stage, occupying) = (NewStage(), NewStage());
        stage.LetLeave();
        var database = await AssemblySetup.Server.CreateDatabaseAsync($"{nameof(LocalServerTests)}_stops", stop);
        await using var servers = HangfireServers.Start(database, new() { Servers = 2, QueuePollInterval = TimeSpan.FromMinutes(1) });
        servers.EnqueueFor<WaitingJob>(servers[0], job => job.Occupy(occupying.Id));
        await occupying.EnteredAsync(stop, atMost: TimeSpan.FromSeconds(90));
        var held = await servers[0].Locks!.TryAcquireAsync(stage.LockName, stop);
        await servers.ParkedAsync(servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop);
        await Patience.UntilAsync(() => servers.Locks.AskAsync(Served), static count => count is 2L, stop);

        servers[0].SendStop();
        var runs = HangfireRuns.Of(servers[0].Storage);
        await Patience.UntilAsync(() => Task.FromResult(runs.FreeWorkers), static pools => !pools.Any(static pool => pool.Queues?.Contains("server-0", StringComparer.Ordinal) == true), stop);
        var since = Stopwatch.GetTimestamp();
        await held!.DisposeAsync();

        try
        {
            await stage.EnteredAsync(stop, atMost: TimeSpan.FromSeconds(10));
            TestContext.Out.WriteLine($"From release to start: {Stopwatch.GetElapsedTime(since).TotalMilliseconds:F0} ms");
        }
        finally
        {
            occupying.LetLeave();
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Starts_a_run_that_waited_in_the_only_queue_of_its_server(CancellationToken stop)
    {
        var stage = NewStage();
        await using var process = await ProcessAsync("only");
        process.Start("first");
        await Patience.UntilAsync(() => process.FreeQueuesAsync(), static queues => queues is ["first"], stop);
        foreach (var number in Enumerable.Range(0, 2)) process.Client.Create<WaitingJob>(job => job.RunOrJoin(stage.Id, number), new EnqueuedState("first"));
        var first = await stage.EnteredAsync(stop);
        var parked = await Patience.UntilAsync(() => new LockTable(process.Database).AskAsync("SELECT count(*) FROM joblocks.wait_queue WHERE parked AND queue = 'first'"), static count => count is 1L, stop);

        first.LetLeave();
        (await stage.EnteredAsync(stop, nth: 2)).LetLeave();

        Assert.That(parked, Is.EqualTo(1L));
    }

    [Test, CancelAfter(60_000)]
    public async Task Keeps_nothing_in_memory_of_runs_that_have_ended(CancellationToken stop)
    {
        const int Count = 40;
        var stage = NewStage();
        await using var process = await ProcessAsync("ended");
        process.Start("first");
        foreach (var _ in Enumerable.Range(0, Count)) process.Client.Enqueue<RememberedJob>("first", job => job.Run(stage.Id));
        await stage.EnteredAsync(stop);
        var begun = await Patience.UntilAsync(() => Task.FromResult(RememberedJob.Count), static begun => begun == Count, stop);
        stage.LetLeave();
        await stage.LeftAsync(stop, Count);

        // A worker may still refer to its last run.
        var kept = await Patience.UntilAsync(() => Task.FromResult(RememberedJob.CountAlive()), static alive => alive < Count / 4, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(begun, Is.EqualTo(Count));
            Assert.That(kept, Is.LessThan(Count / 4));
        }
    }

    private static async Task<ServedStorage> ProcessAsync(string name) =>
        new(await AssemblySetup.Server.CreateDatabaseAsync($"{nameof(LocalServerTests)}_{name}"));

    /// <summary>A storage with servers that have names of their own.</summary>
    private sealed class ServedStorage(string database) : IAsyncDisposable
    {
        private readonly HangfireProcess _process = new("client", database, new(), new AnnouncedStates());
        private readonly TokenFilter _tokens = new();
        private readonly List<BackgroundJobServer> _servers = [];

        public string Database { get; } = database;

        public BackgroundJobClient Client => _process.Client;

        public LocalServers Servers => HangfireRuns.Of(_process.Storage).Servers;

        public BackgroundJobServer Start(string queue)
        {
            var server = new BackgroundJobServer(
                new BackgroundJobServerOptions
                {
                    ServerName = $"server of {queue}",
                    Queues = [queue],
                    WorkerCount = 2,
                    CancellationCheckInterval = TimeSpan.FromMilliseconds(100),
                    FilterProvider = new JobFilterProviderCollection(JobFilterProviders.Providers, _tokens),
                    Activator = new JobActivator(),
                },
                _process.Storage);
            _servers.Add(server);
            return server;
        }

        /// <summary>The queues with a free worker, as far as is known.</summary>
        public IReadOnlyList<string> FreeQueues => [.. Servers.FreeWorkers.Where(static pool => pool.Free > 0).SelectMany(static pool => pool.Queues ?? []).Order(StringComparer.Ordinal)];

        /// <summary>The queues with a free worker, once the storage was asked for the servers that have started or ended.</summary>
        public Task<IReadOnlyList<string>> FreeQueuesAsync()
        {
            Servers.Any();
            return Task.FromResult(FreeQueues);
        }

        /// <summary>Waits until the token of a run is cancelled.</summary>
        public Task AbortedAsync(CancellationToken stop) => _tokens.Cancelled.WaitAsync(stop);

        public async ValueTask DisposeAsync()
        {
            foreach (var server in _servers) server.Dispose();
            await _process.DisposeAsync();
        }
    }

    private sealed class TokenFilter : IJobFilterProvider, IServerFilter
    {
        private readonly TaskCompletionSource _cancelled = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Cancelled => _cancelled.Task;

        public IEnumerable<JobFilter> GetFilters(Job job) =>
            [new(this, JobFilterScope.Global, order: null)];

        public void OnPerforming(PerformingContext context) => context.CancellationToken.ShutdownToken.UnsafeRegister(static told => ((TaskCompletionSource)told!).TrySetResult(), _cancelled);

        public void OnPerformed(PerformedContext context)
        {
        }
    }
}
