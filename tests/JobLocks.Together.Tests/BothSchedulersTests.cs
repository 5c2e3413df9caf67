using System.Collections.Concurrent;
using Hangfire;
using Hangfire.PostgreSql;
using Hangfire.PostgreSql.Factories;
using Hangfire.States;
using Hangfire.Storage;
using JobLocks.Hangfire;
using JobLocks.Quartz;
using JobLocks.Testing.Postgres;
using Microsoft.Extensions.DependencyInjection;
using Npgsql;
using Quartz;

namespace JobLocks.Together.Tests;

/// <summary>A Hangfire server and a Quartz scheduler, each with locks of its own, as two processes would have them.</summary>
[TestFixture]
public sealed class BothSchedulersTests : IApplyStateFilter, IJobListener
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    // A wake-up takes milliseconds, and where its signal is lost, a sweep or two.
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(5);

    private readonly ConcurrentDictionary<string, TaskCompletionSource<string>> _hangfireEnds = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, TaskCompletionSource<string>> _quartzEnds = new(StringComparer.Ordinal);
    private PostgresServer _server = null!;
    private AdvisoryLocks _hangfireLocks = null!;
    private BackgroundJobServer _hangfire = null!;
    private BackgroundJobClient _client = null!;
    private ServiceProvider _quartzServices = null!;
    private IScheduler _quartz = null!;

    [OneTimeSetUp]
    public async Task Start()
    {
        _server = await PostgresServer.StartAsync();
        _hangfireLocks = AdvisoryLocks.Connect(_server.ConnectionString);
        var storage = new PostgreSqlStorage(
            new NpgsqlConnectionFactory(_server.ConnectionString, new()),
            new PostgreSqlStorageOptions { QueuePollInterval = TimeSpan.FromMilliseconds(50), PrepareSchemaIfNecessary = true });
        GlobalConfiguration.Configuration.UseStorage(storage).UseJobLocks(_hangfireLocks);
        GlobalJobFilters.Filters.Add(this);
        _client = new(storage);
        _hangfire = new(new BackgroundJobServerOptions { WorkerCount = 4, SchedulePollingInterval = TimeSpan.FromMilliseconds(200) }, storage);

        var services = new ServiceCollection();
        services.AddLogging();
        services.AddJobLocks(_server.ConnectionString);
        services.AddQuartz(quartz => quartz.UseJobLocks().AddJobListener(this));
        _quartzServices = services.BuildServiceProvider();
        _quartz = await _quartzServices.GetRequiredService<ISchedulerFactory>().GetScheduler();
        await _quartz.Start();
    }

    [OneTimeTearDown]
    public async Task Stop()
    {
        GlobalJobFilters.Filters.Remove(this);
        _hangfire.Dispose();
        await _quartz.Shutdown(waitForJobsToComplete: true);
        await _quartzServices.DisposeAsync();
        await _hangfireLocks.DisposeAsync();
        var left = await CountLocksAsync();
        await _server.DisposeAsync();

        Assert.That(left, Is.Zero);
    }

    [Test, CancelAfter(60_000)]
    public async Task Quartz_skips_what_Hangfire_is_doing(CancellationToken stop)
    {
        var work = Work.Begin();
        var running = _client.Enqueue<HangfireSync>(sync => sync.RunOrSkip(work.Client));
        await work.Entered.WaitAsync(Patience, stop);

        var refused = await ScheduleAsync(work);

        Assert.That(await QuartzEndOf(refused).WaitAsync(Patience, stop), Is.EqualTo("vetoed"));
        work.LetLeave();
        Assert.That(await HangfireEndOf(running).WaitAsync(Patience, stop), Is.EqualTo(SucceededState.StateName));
        Assert.That(work.Runs, Is.EqualTo(["Hangfire"]));
    }

    [Test, CancelAfter(60_000)]
    public async Task Hangfire_skips_what_Quartz_is_doing(CancellationToken stop)
    {
        var work = Work.Begin();
        var running = await ScheduleAsync(work);
        await work.Entered.WaitAsync(Patience, stop);

        var refused = _client.Enqueue<HangfireSync>(sync => sync.RunOrSkip(work.Client));

        Assert.That(await HangfireEndOf(refused).WaitAsync(Patience, stop), Is.EqualTo(DeletedState.StateName));
        work.LetLeave();
        Assert.That(await QuartzEndOf(running).WaitAsync(Patience, stop), Is.EqualTo("executed"));
        Assert.That(work.Runs, Is.EqualTo(["Quartz"]));
    }

    [Test, CancelAfter(60_000)]
    public async Task Hangfire_runs_later_what_it_put_off_for_Quartz(CancellationToken stop)
    {
        var work = Work.Begin();
        await ScheduleAsync(work);
        await work.Entered.WaitAsync(Patience, stop);
        var refused = _client.Enqueue<HangfireSync>(sync => sync.RunOrWait(work.Client));
        await StateOf(refused, ScheduledState.StateName).WaitAsync(Patience, stop);
        Assert.That(work.Runs, Is.EqualTo(["Quartz"]));

        work.LetLeave();

        Assert.That(await HangfireEndOf(refused).WaitAsync(Patience, stop), Is.EqualTo(SucceededState.StateName));
        Assert.That(work.Runs, Is.EqualTo(["Quartz", "Hangfire"]));
    }

    [Test, CancelAfter(60_000)]
    public async Task Hangfire_is_woken_when_Quartz_has_done(CancellationToken stop)
    {
        var work = Work.Begin();
        await ScheduleAsync<QuartzInLine>(work);
        await work.NextAsync(stop).WaitAsync(Patience, stop);
        var waiting = _client.Enqueue<HangfireSync>(sync => sync.QueuedRun(work.Client));
        await ParkedAsync(work, 1, stop);

        work.LetLeave();

        Assert.That(await work.NextAsync(stop).WaitAsync(Soon, stop), Is.EqualTo("Hangfire"));
        Assert.That(await HangfireEndOf(waiting).WaitAsync(Patience, stop), Is.EqualTo(SucceededState.StateName));
        Assert.That(await CountLineAsync(work), Is.Zero);
    }

    [Test, CancelAfter(60_000)]
    public async Task Quartz_is_woken_when_Hangfire_has_done(CancellationToken stop)
    {
        var work = Work.Begin();
        var running = _client.Enqueue<HangfireSync>(sync => sync.QueuedRun(work.Client));
        await work.NextAsync(stop).WaitAsync(Patience, stop);
        await ScheduleAsync<QuartzInLine>(work);
        await ParkedAsync(work, 1, stop);

        work.LetLeave();

        Assert.That(await work.NextAsync(stop).WaitAsync(Soon, stop), Is.EqualTo("Quartz"));
        Assert.That(await HangfireEndOf(running).WaitAsync(Patience, stop), Is.EqualTo(SucceededState.StateName));
        Assert.That(await CountLineAsync(work), Is.Zero);
    }

    [Test, CancelAfter(60_000)]
    public async Task Both_run_in_the_order_in_which_they_came(CancellationToken stop)
    {
        var work = Work.Begin();
        _client.Enqueue<HangfireSync>(sync => sync.QueuedRun(work.Client));
        await work.NextAsync(stop).WaitAsync(Patience, stop);
        string[] order = ["Quartz", "Hangfire", "Hangfire", "Quartz", "Hangfire", "Quartz", "Quartz", "Hangfire"];
        for (var i = 0; i < order.Length; i++)
        {
            if (order[i] is "Quartz") await ScheduleAsync<QuartzInLine>(work);
            else _client.Enqueue<HangfireSync>(sync => sync.QueuedRun(work.Client));
            await ParkedAsync(work, i + 1, stop);
        }

        work.LetLeave();
        for (var i = 0; i < order.Length; i++) await work.NextAsync(stop).WaitAsync(Patience, stop);

        Assert.That(work.Runs, Is.EqualTo(["Hangfire", .. order]));
        Assert.That(await CountLineAsync(work), Is.Zero);
    }

    [Test, CancelAfter(60_000)]
    public async Task Both_run_for_different_clients_at_once(CancellationToken stop)
    {
        var (one, other) = (Work.Begin(), Work.Begin());
        var hangfire = _client.Enqueue<HangfireSync>(sync => sync.RunOrSkip(one.Client));
        var quartz = await ScheduleAsync(other);

        await Task.WhenAll(one.Entered, other.Entered).WaitAsync(Patience, stop);

        one.LetLeave();
        other.LetLeave();
        Assert.That(await HangfireEndOf(hangfire).WaitAsync(Patience, stop), Is.EqualTo(SucceededState.StateName));
        Assert.That(await QuartzEndOf(quartz).WaitAsync(Patience, stop), Is.EqualTo("executed"));
    }

    void IApplyStateFilter.OnStateApplied(ApplyStateContext context, IWriteOnlyTransaction transaction)
    {
        StateSource(context.BackgroundJob.Id, context.NewState.Name).TrySetResult(context.NewState.Name);
        if (context.NewState.IsFinal || context.NewState is FailedState) StateSource(context.BackgroundJob.Id, "").TrySetResult(context.NewState.Name);
    }

    void IApplyStateFilter.OnStateUnapplied(ApplyStateContext context, IWriteOnlyTransaction transaction)
    {
        // Only where a job goes is of interest.
    }

    ValueTask IJobListener.JobExecutionVetoed(IJobExecutionContext context, CancellationToken cancellationToken) => EndedInQuartz(context, "vetoed");

    ValueTask IJobListener.JobWasExecuted(IJobExecutionContext context, JobExecutionException? jobException, CancellationToken cancellationToken) =>
        EndedInQuartz(context, "executed");

    private Task<string> ScheduleAsync(Work work) => ScheduleAsync<QuartzSync>(work);

    private async Task<string> ScheduleAsync<TJob>(Work work)
        where TJob : IJob
    {
        var id = Guid.NewGuid().ToString("N");
        var trigger = TriggerBuilder.Create().WithIdentity(id).UsingJobData("client", work.Client).StartNow().Build();
        await _quartz.ScheduleJob(JobBuilder.Create<TJob>().WithIdentity(id).Build(), trigger);
        return id;
    }

    private ValueTask EndedInQuartz(IJobExecutionContext context, string end)
    {
        QuartzSource(context.Trigger.Key.Name).TrySetResult(end);
        return default;
    }

    private Task<string> QuartzEndOf(string id) => QuartzSource(id).Task;

    private Task<string> HangfireEndOf(string id) => StateSource(id, "").Task;

    private Task<string> StateOf(string id, string state) => StateSource(id, state).Task;

    private TaskCompletionSource<string> QuartzSource(string id) => _quartzEnds.GetOrAdd(id, static _ => NewSource());

    private TaskCompletionSource<string> StateSource(string id, string state) => _hangfireEnds.GetOrAdd($"{id}/{state}", static _ => NewSource());

    private static TaskCompletionSource<string> NewSource() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    private async Task ParkedAsync(Work work, int count, CancellationToken stop)
    {
        while (await CountAsync("SELECT count(*) FROM joblocks.wait_queue WHERE parked AND name = $1", work.LockName) != count) await Task.Delay(TimeSpan.FromMilliseconds(10), stop);
    }

    private Task<long> CountLineAsync(Work work) => CountAsync("SELECT count(*) FROM joblocks.wait_queue WHERE name = $1", work.LockName);

    private Task<long> CountLocksAsync() =>
        CountAsync("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())");

    private async Task<long> CountAsync(string sql, params string[] parameters)
    {
        await using var source = NpgsqlDataSource.Create(_server.ConnectionString);
        await using var command = source.CreateCommand(sql);
        foreach (var parameter in parameters) command.Parameters.Add(new() { Value = parameter });
        return (long)(await command.ExecuteScalarAsync())!;
    }
}
