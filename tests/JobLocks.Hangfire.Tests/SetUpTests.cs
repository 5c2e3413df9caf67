using Hangfire;
using Hangfire.PostgreSql;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace JobLocks.Hangfire.Tests;

/// <summary>The two ways to set it up, as the first page shows them. They change what is the current storage of the whole process.</summary>
[TestFixture, NonParallelizable]
public sealed class SetUpTests
{
    private string _database = null!;
    private Stage _stage = null!;

    [SetUp]
    public async Task CreateDatabase()
    {
        _database = await AssemblySetup.Server.CreateDatabaseAsync(nameof(SetUpTests));
        _stage = Stage.Open();
        _stage.LetLeave();
    }

    [Test, CancelAfter(60_000)]
    public async Task Locks_runs_in_a_host(CancellationToken stop)
    {
        var builder = Host.CreateApplicationBuilder();
        // Hangfire keeps what it logs with for the whole process, so it must outlive this host.
        builder.Services.AddSingleton<ILoggerFactory>(NullLoggerFactory.Instance);
        builder.Services.AddJobLocks(_database);
        builder.Services.AddHangfire((services, hangfire) => hangfire
            .UsePostgreSqlStorage(postgres => postgres.UseNpgsqlConnection(_database), new() { QueuePollInterval = TimeSpan.FromMilliseconds(100) })
            .UseJobLocks(services));
        builder.Services.AddHangfireServer(static server => server.WorkerCount = 2);
        using var host = builder.Build();
        await host.StartAsync(stop);
        var jobs = host.Services.GetRequiredService<IBackgroundJobClient>();
        var locks = host.Services.GetRequiredService<IJobLocks>();
        var storage = host.Services.GetRequiredService<JobStorage>();

        var held = await locks.TryAcquireAsync(_stage.LockName, stop);
        var refused = await EndOfAsync(jobs.Enqueue<SyncJob>(job => job.RunOrSkip(_stage.Id)), storage, stop);
        var runsMeanwhile = _stage.Runs;
        await held!.DisposeAsync();
        var admitted = await EndOfAsync(jobs.Enqueue<SyncJob>(job => job.RunOrSkip(_stage.Id)), storage, stop);
        await host.StopAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(refused, Is.EqualTo(DeletedState.StateName));
            Assert.That(runsMeanwhile, Is.Zero);
            Assert.That(admitted, Is.EqualTo(SucceededState.StateName));
            Assert.That(_stage.Runs, Is.EqualTo(1));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Locks_runs_of_every_storage_where_none_was_named(CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(_database);
        await using var process = new HangfireProcess("server-0", _database, new() { UsesJobLocks = false }, new AnnouncedStates());
        try
        {
            GlobalConfiguration.Configuration.UseJobLocks(locks);

            process.StartServer();
            var end = await EndOfAsync(process.Client.Enqueue<SyncJob>(job => job.RunOrSkip(_stage.Id)), process.Storage, stop);

            using (Assert.EnterMultipleScope())
            {
                Assert.That(end, Is.EqualTo(SucceededState.StateName));
                Assert.That((await _stage.EnteredAsync(stop)).Handle?.Name, Is.EqualTo(_stage.LockName));
            }
        }
        finally
        {
            // There is no way back in the public face, and other fixtures tell what happens without.
            ConfiguredGates.SetDefault(null!);
        }
    }

    private static async Task<string> EndOfAsync(string jobId, JobStorage storage, CancellationToken stop) =>
        await Patience.UntilAsync(
            () => Task.FromResult(storage.GetMonitoringApi().JobDetails(jobId).History[0].StateName),
            static state => state is "Succeeded" or "Deleted" or "Failed",
            stop);
}
