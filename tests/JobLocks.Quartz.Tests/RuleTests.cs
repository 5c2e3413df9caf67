using JobLocks.Quartz.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Npgsql;
using Quartz;

namespace JobLocks.Quartz.Tests;

/// <summary>A rule that cannot work is found at the earliest moment, and never lets a run begin.</summary>
public sealed class RuleTests : QuartzFixture
{
    private static readonly Type[] BrokenJobs = [typeof(PositionJob), typeof(UnbalancedJob), typeof(EmptyNameJob), typeof(NegativeJob), typeof(UnknownOutcomeJob)];

    [Test]
    public async Task Fails_a_run_whose_data_lacks_a_key_of_the_name([Values] Store store, [Values] bool byHand)
    {
        var node = await StartNodeAsync(store, node => node with { ByHand = byHand });

        await node.RunAsync<MissingKeyJob>(Scene);
        var error = await node.Told.NextErrorAsync();
        if (byHand) await node.Told.NextVetoAsync();
        else await node.Told.NextEndAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error.Exception.InnerException, Is.TypeOf<JobLockRuleException>());
            Assert.That(error.Exception.InnerException!.Message, Does.Contain("MissingKeyJob").And.Contain("{missing}").And.Contain("only: scene"));
            Assert.That(Scene.Begun, Is.Zero);
        }
    }

    [Test]
    public async Task Fails_a_run_with_a_rule_that_cannot_be_read()
    {
        var node = await StartNodeAsync(Store.Ram);

        await node.RunAsync<PlainJob>(Scene, static trigger => trigger.UsingJobData(DataKeys.Rule, "not by us"));
        var error = await node.Told.NextErrorAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error.Exception.InnerException, Is.TypeOf<JobLockRuleException>());
            Assert.That(Scene.Begun, Is.Zero);
        }
    }

    [TestCaseSource(nameof(BrokenJobs))]
    public void Stops_the_host_when_a_job_has_a_broken_rule(Type job)
    {
        using var host = HostWith(quartz => quartz.UseJobLocks().AddJob(job, static job => job.StoreDurably()));

        Assert.That(() => host.StartAsync(), Throws.TypeOf<JobLockRuleException>().With.Message.Contains(job.Name));
    }

    [TestCaseSource(nameof(BrokenJobs))]
    public async Task Stops_the_scheduler_when_a_job_has_a_broken_rule(Type job)
    {
        var node = await StartNodeAsync(
            Store.Ado,
            node => node with { IsStarted = false, After = quartz => quartz.AddJob(job, static job => job.StoreDurably()) });

        Assert.That(async () => await node.Scheduler.Start(), Throws.TypeOf<JobLockRuleException>().With.Message.Contains(job.Name));
    }

    [TestCaseSource(nameof(BrokenJobs))]
    public async Task Fails_the_run_when_a_job_with_a_broken_rule_is_added_later(Type job)
    {
        var node = await StartNodeAsync(Store.Ram);
        var key = new JobKey(Guid.NewGuid().ToString("N"));
        await node.Scheduler.AddJob(JobBuilder.Create().OfType(job).WithIdentity(key).StoreDurably().UsingJobData(Scene.Key, Scene.Id).Build());

        await node.Scheduler.TriggerJob(key);
        var error = await node.Told.NextErrorAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error.Exception.InnerException, Is.TypeOf<JobLockRuleException>());
            Assert.That(Scene.Begun, Is.Zero);
        }
    }

    [Test]
    public void Refuses_a_broken_rule_where_it_is_written()
    {
        var job = JobBuilder.Create<PlainJob>();
        var trigger = TriggerBuilder.Create<PlainJob>();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(() => job.WithJobLock("sync({0})"), Throws.TypeOf<JobLockRuleException>().With.Message.StartsWith("WithJobLock(\"sync({0})\") on PlainJob"));
            Assert.That(() => trigger.WithJobLock("sync({scene"), Throws.TypeOf<JobLockRuleException>());
            Assert.That(() => ((IJobConfigurator<PlainJob>)job).WithJobLock(""), Throws.TypeOf<JobLockRuleException>());
            Assert.That(
                () => ((ITriggerConfigurator<PlainJob>)trigger).WithJobLock("sync", retryAfterSeconds: -1),
                Throws.TypeOf<JobLockRuleException>().With.Message.Contains("retryAfterSeconds: -1"));
            Assert.That(() => trigger.WithJobLock("sync", (OnConflict)7), Throws.TypeOf<JobLockRuleException>());
        }
    }

    [Test]
    public void Says_which_line_of_code_is_missing_when_the_container_has_no_locks()
    {
        using var host = HostWith(static quartz => quartz.UseJobLocks(), hasLocks: false);

        Assert.That(() => host.StartAsync(), Throws.TypeOf<JobLocksNotConfiguredException>().With.Message.Contains("services.AddJobLocks(connectionString)"));
    }

    [Test]
    public async Task Takes_a_second_call_for_the_first()
    {
        using var host = HostWith(static quartz => quartz.UseJobLocks().UseJobLocks());

        await host.StartAsync();
        var scheduler = await host.Services.GetRequiredService<ISchedulerFactory>().GetScheduler();
        scheduler.UseJobLocks(host.Services.GetRequiredService<IJobLocks>());
        await host.StopAsync();

        Assert.That(scheduler.ListenerManager.GetTriggerListeners(), Has.Count.EqualTo(1));
    }

    [Test]
    public void Says_that_a_job_store_was_named_too_late_to_be_used()
    {
        using var host = HostOf(services => services
            .AddJobLocks(Database)
            .AddQuartz(static quartz => quartz.UseJobLocks())
            .AddQuartz(quartz => quartz.UsePersistentStore(store => store.UsePostgres(NpgsqlFactory.Instance, Database))));

        Assert.That(() => host.StartAsync(), Throws.TypeOf<JobLocksNotConfiguredException>().With.Message.Contains("UsePersistentStore in the same AddQuartz as UseJobLocks"));
    }

    [Test]
    public async Task Takes_a_job_store_that_was_named_in_an_earlier_call()
    {
        using var host = HostOf(services => services
            .AddJobLocks(Database)
            .AddQuartz(quartz => quartz.UsePersistentStore(store => store.UsePostgres(NpgsqlFactory.Instance, Database)))
            .AddQuartz(static quartz => quartz.UseJobLocks()));

        await host.StartAsync();
        var scheduler = await host.Services.GetRequiredService<ISchedulerFactory>().GetScheduler();
        var metadata = await scheduler.GetMetadata();
        await host.StopAsync();

        Assert.That(metadata.JobStorePersistent, Is.True);
    }

    [Test]
    public async Task Serves_each_named_scheduler_of_a_container()
    {
        using var host = HostOf(services => services
            .AddJobLocks(Database)
            .AddQuartz("one", quartz => quartz.UseJobLocks().ScheduleJob<ReschedulingJob>(trigger => trigger.StartNow().UsingJobData(Scene.Key, Scene.Id)))
            .AddQuartz("two", quartz => quartz.UseJobLocks().ScheduleJob<ReschedulingJob>(trigger => trigger.StartNow().UsingJobData(Scene.Key, Scene.Id))));

        await host.StartAsync();
        var runs = new[] { await Scene.NextRunAsync(), await Scene.NextRunAsync() };
        await host.StopAsync();

        Assert.That(runs.Select(static run => run.Handle?.Name), Is.All.EqualTo(Scene.LockName));
    }

    [Test]
    public async Task Serves_a_scheduler_that_is_added_while_the_program_runs()
    {
        using var host = HostWith(static quartz => quartz.UseJobLocks());
        await host.StartAsync();

        var runtime = host.Services.GetRequiredService<ISchedulerRuntime>();
        await using var scheduler = await runtime.Add(
            "later", quartz => quartz.UseJobLocks().ScheduleJob<ReschedulingJob>(trigger => trigger.StartNow().UsingJobData(Scene.Key, Scene.Id)));
        if (scheduler.Status != SchedulerStatus.Running) await scheduler.Start();
        var run = await Scene.NextRunAsync();
        await host.StopAsync();

        Assert.That(run.Handle?.Name, Is.EqualTo(Scene.LockName));
    }

    [Test]
    public async Task Serves_a_scheduler_without_a_container()
    {
        await using var locks = AdvisoryLocks.Connect(Database);
        await using var scheduler = await QuartzSchedulerBuilder.Create(quartz => quartz.UseJobLocks(locks)).BuildScheduler();
        await scheduler.Start();

        await scheduler.ScheduleJob(JobBuilder.Create<ReschedulingJob>().Build(), TriggerBuilder.Create().StartNow().UsingJobData(Scene.Key, Scene.Id).Build());
        var run = await Scene.NextRunAsync();
        await scheduler.Shutdown(waitForJobsToComplete: true);

        Assert.That(run.Handle?.Name, Is.EqualTo(Scene.LockName));
    }

    private IHost HostWith(Action<IQuartzBuilder> configure, bool hasLocks = true) => HostOf(services =>
    {
        if (hasLocks) services.AddJobLocks(Database);
        services.AddQuartz(configure);
    });

    private static IHost HostOf(Action<IServiceCollection> add)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new());
        builder.Logging.ClearProviders();
        builder.Services.AddQuartzHostedService(static options => options.WaitForJobsToComplete = true);
        add(builder.Services);
        return builder.Build();
    }
}
