using Hangfire;
using Hangfire.Logging;
using JobLocks.Hangfire;
using JobLocks.Testing.Postgres;
using JobLocks.Together.Tests.Applications;
using Npgsql;

namespace JobLocks.Together.Tests;

/// <summary>
/// A Hangfire server that is idle, and another application in a process of its own. The workers of both look into their queues every five minutes: what
/// starts earlier was woken.
/// </summary>
[TestFixture, CancelAfter(120_000)]
public sealed class OtherApplicationTests
{
    private const string Served =
        "SELECT count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1246524276 AND objsubid = 2 AND granted";

    private const string Held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1";

    private const string Schema = "hangfire";

    // Long before the workers look by themselves.
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(20);

    private PostgresServer _server = null!;
    private NpgsqlDataSource _database = null!;
    private AdvisoryLocks _byHand = null!;
    private AdvisoryLocks _locks = null!;
    private BackgroundJobServer _idle = null!;
    private BackgroundJobClient _client = null!;
    private Work _work = null!;

    [OneTimeSetUp]
    public async Task StartServer()
    {
        _server = await PostgresServer.StartAsync();
        _database = NpgsqlDataSource.Create(_server.ConnectionString);
        _byHand = AdvisoryLocks.Connect(_server.ConnectionString);
        _locks = AdvisoryLocks.Connect(
            _server.ConnectionString,
            static options => (options.ApplicationName, options.HeartbeatInterval, options.LostAfter) = ("idle", TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(8)));
        var storage = OtherApplication.StorageIn(_server.ConnectionString, Schema);
        storage.UseJobLocks(_locks);
        // Neither those that the container of another fixture has set, and that ended with it.
        LogProvider.SetCurrentLogProvider(null);
        _idle = new(new BackgroundJobServerOptions { WorkerCount = 2, Activator = new JobActivator() }, storage);
        _client = new(storage);
    }

    [SetUp]
    public void Begin() => _work = Work.Begin();

    [TearDown]
    public async Task LeavesNothing()
    {
        _work.LetLeave();
        using var patience = new CancellationTokenSource(Soon);
        await UntilAsync(Held, 0, patience.Token);
        await UntilAsync("SELECT count(*) FROM joblocks.wait_queue", 0, patience.Token);
    }

    [OneTimeTearDown]
    public async Task StopServer()
    {
        _idle.Dispose();
        await _locks.DisposeAsync();
        await _byHand.DisposeAsync();
        await _database.DisposeAsync();
        await _server.DisposeAsync();
    }

    [Test]
    public Task A_process_that_only_shows_a_dashboard_leaves_the_start_of_a_run_to_an_idle_server(CancellationToken stop) =>
        LeavesTheStartToTheIdleServerAsync(Schema, queue: "", serving: null, wasStopped: false, stop);

    [Test]
    public Task A_process_of_another_application_leaves_the_start_of_a_run_to_an_idle_server(CancellationToken stop) =>
        LeavesTheStartToTheIdleServerAsync("other", queue: "default", serving: 2, wasStopped: false, stop);

    [Test]
    public Task A_server_of_other_queues_leaves_the_start_of_a_run_to_an_idle_server(CancellationToken stop) =>
        LeavesTheStartToTheIdleServerAsync(Schema, queue: "reports", serving: 2, wasStopped: false, stop);

    [Test]
    public Task A_server_that_was_told_to_stop_leaves_the_start_of_a_run_to_an_idle_server(CancellationToken stop) =>
        LeavesTheStartToTheIdleServerAsync(Schema, queue: "default", serving: 2, wasStopped: true, stop);

    [Test]
    public async Task Runs_in_the_memory_of_a_killed_process_are_bypassed_at_once_and_leave_no_entry(CancellationToken stop)
    {
        var held = await _byHand.AcquireAsync(_work.LockName, Soon, stop);
        using var killed = await ApplicationProcess.StartInMemoryAsync(_server.ConnectionString, _work.Client, stop);
        await ParkedAsync(2, stop);
        await UntilAsync(Served, 2, stop);

        await killed.KillAsync(stop);
        await UntilAsync(Served, 1, stop);
        await held.DisposeAsync();
        await UntilAsync(Held, 0, stop);
        await using (var taken = await _byHand.TryAcquireAsync(_work.LockName, stop))
        {
            Assert.That(taken, Is.Not.Null);
            await ParkAsync(stop, before: 2);
        }

        await _work.Entered.WaitAsync(Soon, stop);
        _work.LetLeave();
        await ParkedAsync(0, stop);
        Assert.That(_work.Runs, Is.EqualTo(["Hangfire"]));
    }

    /// <summary>Another process releases the lock for which a run of the idle server waits.</summary>
    /// <param name="schema">The schema of its Hangfire storage.</param>
    /// <param name="queue">The queue that its server serves; empty for no server.</param>
    /// <param name="serving">How many processes serve job stores before the release; null where that does not matter.</param>
    /// <param name="wasStopped">Whether its server stops before that.</param>
    /// <param name="stop">Cancels the test.</param>
    private async Task LeavesTheStartToTheIdleServerAsync(string schema, string queue, long? serving, bool wasStopped, CancellationToken stop)
    {
        using var other = await ApplicationProcess.StartHolderAsync(_server.ConnectionString, _work.Client, schema, queue, stop);
        await ParkAsync(stop);
        if (serving is { } count) await UntilAsync(Served, count, stop);
        if (wasStopped) await other.TellAsync(OtherApplication.StopServer, stop);

        await other.TellAsync(OtherApplication.Release, stop);

        await _work.Entered.WaitAsync(Soon, stop);
    }

    /// <summary>Has a run of the idle server wait.</summary>
    private async Task ParkAsync(CancellationToken stop, int before = 0)
    {
        _client.Enqueue<HangfireSync>(sync => sync.QueuedRun(_work.Client));
        await ParkedAsync(before + 1, stop);
    }

    private Task ParkedAsync(int count, CancellationToken stop) => UntilAsync($"SELECT count(*) FROM joblocks.wait_queue WHERE parked AND name = '{_work.LockName}'", count, stop);

    /// <summary>The test's own limit ends it.</summary>
    private async Task UntilAsync(string sql, long wanted, CancellationToken stop)
    {
        while (true)
        {
            await using var command = _database.CreateCommand(sql);
            if (Equals(await command.ExecuteScalarAsync(stop), wanted)) return;

            await Task.Delay(TimeSpan.FromMilliseconds(20), stop);
        }
    }
}
