using Hangfire;
using Hangfire.States;
using Hangfire.Storage;
using JobLocks.Hangfire.Tests.Support;
using Npgsql;

namespace JobLocks.Hangfire.Tests;

/// <summary>The lock of a run is lost while Hangfire's storage has troubles of its own.</summary>
[TestFixture]
public sealed class LostLockAndStorageTests : RealServers
{
    private readonly LogJournal _log = new();
    private string _jobs = null!;
    private string _elsewhere = null!;

    private protected override HangfireSetup Setup => new() { Servers = 1, Loggers = _log };

    private protected override async Task<HangfireServers> StartAsync()
    {
        _jobs = await AssemblySetup.Server.CreateDatabaseAsync("unreachable");
        _elsewhere = await AssemblySetup.Server.CreateDatabaseAsync("lostlocks");
        return HangfireServers.Start(_jobs, Setup with { LockDatabase = _elsewhere });
    }

    [Test, CancelAfter(180_000)]
    public async Task Stops_the_run_as_soon_as_the_storage_can_be_reached(CancellationToken stop)
    {
        var stage = NewStage();
        var id = Servers.Enqueue<Once>(job => job.Run(stage.Id, CancellationToken.None));
        await stage.EnteredAsync(stop);

        await LetConnectAsync(false);
        await Servers.Locks.BreakAsync(stage.LockName);
        await _log.NextAsync($"Job {id} goes on without its lock: Hangfire's storage cannot be told to stop it. Next try in 0.5 s", stop);
        await _log.NextAsync($"Job {id} goes on without its lock: Hangfire's storage cannot be told to stop it. Next try in 1 s", stop);
        var leftMeanwhile = stage.Exits.Entries.Count;
        await LetConnectAsync(true);
        var end = await Servers.States.NextAsync<FailedState>(id, stop);
        await stage.Exits.NextAsync(static _ => true, stop, atMost: Patience.AfterOutage);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(leftMeanwhile, Is.Zero);
            Assert.That(end.Exception, Is.TypeOf<JobLockLostException>());
            Assert.That(stage.Runs, Is.EqualTo(1));
        }
    }

    [Test, CancelAfter(180_000)]
    public async Task Says_so_in_the_end_of_a_run_that_was_over_before_the_storage_could_be_reached(CancellationToken stop)
    {
        var stage = NewStage();
        var id = Servers.Enqueue<Once>(job => job.Run(stage.Id, CancellationToken.None));
        await stage.EnteredAsync(stop);

        await LetConnectAsync(false);
        await Servers.Locks.BreakAsync(stage.LockName);
        await _log.NextAsync($"Job {id} goes on without its lock", stop);
        stage.LetLeave();
        await _log.NextAsync($"Job {id} ended by itself after its lock {stage.LockName}", stop);
        await LetConnectAsync(true);
        var end = await Servers.States.NextAsync<SucceededState>(id, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(end.Reason, Does.Contain($"The lock {stage.LockName} was lost"));
            Assert.That(stage.Runs, Is.EqualTo(1));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Leaves_the_job_alone_that_another_worker_has_fetched(CancellationToken stop)
    {
        var (stage, log) = (NewStage(), new LogJournal());
        // Hangfire itself is not to cancel the run before we have looked.
        await using var alone = HangfireServers.Start(
            await AssemblySetup.Server.CreateDatabaseAsync("fetchedtwice", stop),
            Setup with { CancellationCheckInterval = TimeSpan.FromHours(1), Loggers = log });
        var id = alone.Enqueue<Once>(job => job.HeedNothing(stage.Id, CancellationToken.None));
        await stage.EnteredAsync(stop);

        using (var connection = alone[0].Storage.GetConnection())
        {
            using var turn = connection.AcquireDistributedJobLock(id, Patience.Limit);
            await alone.Locks.BreakAsync(stage.LockName);
            using var transaction = connection.CreateWriteTransaction();
            transaction.SetJobState(id, new ElsewhereState());
            transaction.Commit();
        }

        await log.NextAsync($"Job {id} is not told to stop", stop);
        var stored = alone[0].Storage.GetMonitoringApi().JobDetails(id).History;
        stage.LetLeave();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(stored.Select(static state => state.StateName), Is.EqualTo(["Processing", "Processing", "Enqueued"]));
            Assert.That(stored[0].Data["WorkerId"], Is.EqualTo("another"));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Takes_no_retry_from_a_run_that_its_shutdown_has_told_to_stop(CancellationToken stop)
    {
        var (stage, end, log) = (NewStage(), NewStage(), new LogJournal());
        await using var alone = HangfireServers.Start(await AssemblySetup.Server.CreateDatabaseAsync("shutdown", stop), Setup with { Loggers = log });
        var id = alone.Enqueue<Once>(job => job.StopInTwoSteps(stage.Id, end.Id, CancellationToken.None));
        await stage.EnteredAsync(stop);

        var shutdown = alone[0].StopServerAsync(stop);
        await stage.LeftAsync(stop);
        await alone.Locks.BreakAsync(stage.LockName);
        await log.NextAsync($"Job {id} is not told to stop", stop);
        end.LetLeave();
        await shutdown;
        var stored = alone[0].Storage.GetMonitoringApi().JobDetails(id).History;

        using (Assert.EnterMultipleScope())
        {
            Assert.That(stored.Select(static state => state.StateName), Is.EqualTo(["Processing", "Enqueued"]));
            Assert.That(alone.Parameter(id, "RetryCount"), Is.Null);
        }
    }

    /// <summary>As if the server of the jobs went away, or came back.</summary>
    private async Task LetConnectAsync(bool mayConnect)
    {
        await using var source = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(_elsewhere) { Pooling = false }.ConnectionString);
        var database = new NpgsqlConnectionStringBuilder(_jobs).Database!;
        await using var allow = source.CreateCommand($"ALTER DATABASE {database} ALLOW_CONNECTIONS {mayConnect}");
        await allow.ExecuteNonQueryAsync();
        if (mayConnect) return;

        await using var end = source.CreateCommand("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1");
        end.Parameters.Add(new() { Value = database });
        await end.ExecuteNonQueryAsync();
    }

    [AutomaticRetry(Attempts = 0)]
    public class Once
    {
        [JobLock("sync({stage})")]
        public Task Run(string stage, CancellationToken stop) => Stage.Of(stage).PlayAsync(stop);

        [JobLock("sync({stage})")]
        public Task HeedNothing(string stage, CancellationToken stop) => Stage.Of(stage).PlayAsync(CancellationToken.None);

        [JobLock("sync({stage})")]
        public async Task StopInTwoSteps(string stage, string end, CancellationToken stop)
        {
            try
            {
                await Stage.Of(stage).PlayAsync(stop);
            }
            finally
            {
                await Stage.Of(end).PlayAsync(CancellationToken.None);
            }
        }
    }

    /// <summary>What the worker of another server writes when it fetches a job once more.</summary>
    private sealed class ElsewhereState : IState
    {
        public string Name => ProcessingState.StateName;

        public string Reason => "";

        public bool IsFinal => false;

        public bool IgnoreJobLoadException => false;

        public Dictionary<string, string> SerializeData() => new(StringComparer.Ordinal)
        {
            ["ServerId"] = "elsewhere",
            ["WorkerId"] = "another",
        };
    }
}
