using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests;

/// <summary>A run that waited starts where it can, at once, and not when that node next looks into the store by itself.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class WaitElsewhereTests : QuartzFixture
{
    private const int Threads = 4;
    private const string Group = "reports";

    // Longer than anything here waits.
    private static readonly TimeSpan NotDuringATest = TimeSpan.FromMinutes(2);

    private readonly List<Run> _running = [];

    private Scene _occupied = null!;

    [SetUp]
    public void Prepare() => _occupied = new() { Act = static run => run.UntilToldAsync() };

    [TearDown]
    public async Task LetGo()
    {
        foreach (var run in _running) run.Leave();
        _running.Clear();
        await Task.Yield();
    }

    [Test]
    public async Task Starts_on_an_idle_node_where_all_threads_of_the_other_are_busy()
    {
        var others = await OthersHoldAsync();
        var busy = await StartAsync();
        await busy.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(1);
        await OccupyAsync(busy);
        var idle = await StartAsync();

        await others.DisposeAsync();

        var run = await Scene.NextRunAsync();
        Assert.That(run.Context.Scheduler.SchedulerInstanceId, Is.EqualTo(idle.Scheduler.SchedulerInstanceId));
    }

    [Test]
    public async Task Starts_on_an_idle_node_where_the_other_is_in_standby()
    {
        var others = await OthersHoldAsync();
        var standing = await StartAsync();
        await standing.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(1);
        await standing.Scheduler.Standby();
        var idle = await StartAsync();

        await others.DisposeAsync();

        var run = await Scene.NextRunAsync();
        Assert.That(run.Context.Scheduler.SchedulerInstanceId, Is.EqualTo(idle.Scheduler.SchedulerInstanceId));
    }

    [Test]
    public async Task Starts_on_an_idle_node_where_the_one_that_releases_its_lock_is_shutting_down()
    {
        Scene.Act = static run => run.UntilToldAsync();
        var stopping = await StartAsync();
        await stopping.RunAsync<WaitingJob>(Scene);
        _running.Add(await Scene.NextRunAsync());
        await stopping.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(1);
        var idle = await StartAsync();
        await ServedByAsync(2);
        var shutdown = stopping.Scheduler.Shutdown(waitForJobsToComplete: true).AsTask();
        await Eventually.IsTrue(() => Task.FromResult(stopping.Scheduler.Status == SchedulerStatus.ShuttingDown), "the shutdown");

        _running[0].Leave();

        _running.Add(await Scene.NextRunAsync());
        Assert.That(_running[1].Context.Scheduler.SchedulerInstanceId, Is.EqualTo(idle.Scheduler.SchedulerInstanceId));
        await shutdown.Soon();
        await EndAsync(stopping);
    }

    [Test]
    public async Task Starts_on_an_idle_node_where_a_node_that_was_never_started_releases_its_lock()
    {
        var idle = await StartAsync();
        var unstarted = await StartAsync(isStarted: false);
        var held = await unstarted.Locks.TryAcquireAsync(Scene.LockName);
        await idle.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(1);

        await held!.DisposeAsync();

        await Scene.NextRunAsync();
    }

    [Test]
    public async Task Starts_on_an_idle_node_where_a_run_of_another_application_releases_its_lock([Values] Store store)
    {
        Scene.Act = static run => run.UntilToldAsync();
        var idle = await StartAsync();
        var other = await StartNodeAsync(store, static settings => settings with { Cluster = $"{settings.Cluster} other" });
        await other.RunAsync<WaitingJob>(Scene);
        _running.Add(await Scene.NextRunAsync());
        await idle.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(1);

        _running[0].Leave();

        _running.Add(await Scene.NextRunAsync());
        Assert.That(_running[1].Context.Scheduler.SchedulerInstanceId, Is.EqualTo(idle.Scheduler.SchedulerInstanceId));
    }

    [Test]
    public async Task Starts_when_the_first_thread_becomes_free_where_none_is([Values] Store store)
    {
        var others = await OthersHoldAsync();
        var busy = await StartAsync(store);
        await busy.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(1);
        await OccupyAsync(busy);

        await others.DisposeAsync();
        await Eventually.IsTrueOf(
            async () => (long)(await AskAsync($"SELECT count(*) FROM joblocks.wait_queue WHERE woken IS NOT NULL AND name = '{Scene.LockName}'"))!, static count => count == 1, "runs whose turn has come");
        var begunMeanwhile = Scene.Begun;
        _running[0].Leave();

        await Scene.NextRunAsync();
        Assert.That(begunMeanwhile, Is.Zero);
    }

    [Test]
    public async Task Starts_all_readers_where_one_node_has_one_free_thread_and_the_other_is_idle()
    {
        Scene.Act = static run => run.UntilToldAsync();
        var others = await OthersHoldAsync();
        var nearlyBusy = await StartAsync();
        for (var i = 0; i < 3; i++) await nearlyBusy.RunAsync<ReadingJob>(Scene);
        await ParkedAsync(3);
        await OccupyAsync(nearlyBusy, Threads - 1);
        await StartAsync();
        await ServedByAsync(2);

        await others.DisposeAsync();

        for (var i = 0; i < 3; i++) _running.Add(await Scene.NextRunAsync());
        Assert.That(Scene.Begun, Is.EqualTo(3));
    }

    [Test]
    public async Task Starts_the_runs_of_two_names_that_one_node_with_one_free_thread_releases_at_once()
    {
        using var second = new Scene { Act = static run => run.UntilToldAsync() };
        Scene.Act = static run => run.UntilToldAsync();
        var nearlyBusy = await StartAsync();
        var (one, two) = (await nearlyBusy.Locks.TryAcquireAsync(Scene.LockName), await nearlyBusy.Locks.TryAcquireAsync(second.LockName));
        await nearlyBusy.RunAsync<WaitingJob>(Scene);
        await nearlyBusy.RunAsync<WaitingJob>(second);
        await Eventually.IsTrueOf(async () => (long)(await AskAsync($"SELECT count(*) FROM joblocks.wait_queue WHERE parked AND name IN ('{Scene.LockName}', '{second.LockName}')"))!, static count => count == 2, "runs in line");
        await OccupyAsync(nearlyBusy, Threads - 1);
        await StartAsync();
        await ServedByAsync(2);

        await Task.WhenAll(one!.DisposeAsync().AsTask(), two!.DisposeAsync().AsTask());

        _running.Add(await Scene.NextRunAsync());
        _running.Add(await second.NextRunAsync());
        Assert.That((Scene.Begun, second.Begun), Is.EqualTo((1, 1)));
    }

    [Test]
    public async Task Starts_on_an_idle_node_where_the_last_thread_is_taken_while_the_run_is_woken()
    {
        var others = await OthersHoldAsync();
        var nearlyBusy = await StartAsync();
        await nearlyBusy.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(1);
        await OccupyAsync(nearlyBusy, Threads - 1);
        nearlyBusy.JobStore.Asked = async _ =>
        {
            nearlyBusy.JobStore.Asked = static _ => Task.CompletedTask;
            await OccupyAsync(nearlyBusy, 1);
        };
        var idle = await StartAsync();
        await ServedByAsync(2);
        idle.JobStore.Asked = static _ => throw new InvalidOperationException("The other node wakes it.");

        await others.DisposeAsync();

        var run = await Scene.NextRunAsync();
        Assert.That(run.Context.Scheduler.SchedulerInstanceId, Is.EqualTo(idle.Scheduler.SchedulerInstanceId));
    }

    [Test]
    public async Task Starts_on_the_node_that_its_trigger_prefers_where_another_one_is_notified()
    {
        var hearing = await StartAsync();
        var preferred = await StartAsync();
        await ServedByAsync(2);
        var held = await hearing.Locks.TryAcquireAsync(Scene.LockName);
        await preferred.RunAsync<WaitingJob>(Scene, trigger => trigger.WithPreferredNode(PreferredNode.For(preferred.Scheduler.SchedulerInstanceId)));
        await ParkedAsync(1);

        await held!.DisposeAsync();

        var run = await Scene.NextRunAsync();
        Assert.That(run.Context.Scheduler.SchedulerInstanceId, Is.EqualTo(preferred.Scheduler.SchedulerInstanceId));
    }

    [Test]
    public async Task Starts_on_a_node_that_serves_its_execution_group_where_another_one_is_notified()
    {
        var hearing = await StartAsync(refused: Group);
        var serving = await StartAsync();
        await ServedByAsync(2);
        var held = await hearing.Locks.TryAcquireAsync(Scene.LockName);
        await serving.RunAsync<WaitingJob>(Scene, static trigger => trigger.WithExecutionGroup(Group));
        await ParkedAsync(1);

        await held!.DisposeAsync();

        var run = await Scene.NextRunAsync();
        Assert.That(run.Context.Scheduler.SchedulerInstanceId, Is.EqualTo(serving.Scheduler.SchedulerInstanceId));
    }

    private Task<Node> StartAsync(Store store = Store.Ado, string? refused = null, bool isStarted = true) => StartNodeAsync(
        store,
        settings => settings with
        {
            IsStarted = isStarted,
            Before = quartz =>
            {
                if (refused is not null) quartz.RefuseExecutionGroups(refused);
            },
            After = static quartz => quartz.ConfigureScheduler(static options => options.IdleWaitTime = NotDuringATest),
        });

    /// <summary>Some threads of a node.</summary>
    private async Task OccupyAsync(Node node, int threads = Threads)
    {
        for (var i = 0; i < threads; i++) await node.RunAsync<PlainJob>(_occupied);
        for (var i = 0; i < threads; i++) _running.Add(await _occupied.NextRunAsync());
    }
}
