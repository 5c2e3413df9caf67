using Hangfire;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;
using Microsoft.Extensions.DependencyInjection;

namespace JobLocks.Hangfire.Tests;

/// <summary>Where <c>UseJobLocks</c> was forgotten, no job with the attribute runs unlocked.</summary>
[TestFixture]
public sealed class NotConfiguredTests : RealServers
{
    private protected override HangfireSetup Setup => new() { Servers = 1, UsesJobLocks = false };

    [Test]
    public void Refuses_the_job_at_enqueue_with_the_line_of_code_to_add()
    {
        var stage = NewStage();
        var before = Servers.CountJobs();

        var error = Assert.Throws<BackgroundJobClientException>(() => Servers.Enqueue<SyncJob>(job => job.Run(stage.Id)));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.InnerException, Is.TypeOf<JobLocksNotConfiguredException>());
            Assert.That(
                error.InnerException!.Message,
                Is.EqualTo(
                    "SyncJob.Run carries [JobLock], but Hangfire was not told to use JobLocks. "
                    + "Add it where Hangfire is set up: services.AddHangfire((services, hangfire) => hangfire.UsePostgreSqlStorage(…).UseJobLocks(services)), "
                    + "or GlobalConfiguration.Configuration.UseJobLocks(locks) without a container."));
            Assert.That(Servers.CountJobs(), Is.EqualTo(before));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Enqueues_and_runs_jobs_without_the_attribute(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();

        var id = Servers.Enqueue<SyncJob>(job => job.RunUnlocked(stage.Id));
        await Servers.States.NextAsync<SucceededState>(id, stop);

        Assert.That(stage.Runs, Is.EqualTo(1));
    }

    [Test, CancelAfter(60_000)]
    public async Task Fails_the_run_of_a_job_that_another_process_enqueued(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        var configured = Servers.Add(Setup with { UsesJobLocks = true });

        var id = configured.Client.Enqueue<SyncJob>(job => job.RunOrFail(stage.Id));
        var end = await Servers.States.NextAsync<FailedState>(id, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(end.Exception, Is.TypeOf<JobLocksNotConfiguredException>());
            Assert.That(stage.Runs, Is.Zero);
        }
    }

    [Test]
    public async Task Says_which_line_of_code_is_missing_from_the_container()
    {
        await using var services = new ServiceCollection().BuildServiceProvider();

        var error = Assert.Throws<JobLocksNotConfiguredException>(() => GlobalConfiguration.Configuration.UseJobLocks(services));

        Assert.That(error!.Message, Is.EqualTo("Hangfire is told to use JobLocks, but the container has none. Add services.AddJobLocks(connectionString)."));
    }
}
