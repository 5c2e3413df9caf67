using JobLocks.Quartz.Tests.Support;

namespace JobLocks.Quartz.Tests;

/// <summary>A run that waited starts where it can, at once, and not when that node next looks into the store by itself.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class WaitElsewhereTests : QuartzFixture
{
    private const int Threads = 4;

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
    public async Task Starts_when_the_first_thread_becomes_free_where_none_is([Values] Store store)
    {
        var others = await OthersHoldAsync();
        var busy = await StartAsync(store);
        await busy.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(1);
        await OccupyAsync(busy);

        await others.DisposeAsync();
        await Eventually.IsTrueOf(
            async () => (long)(await AskAsync($"SELECT count(*) FROM joblocks.line WHERE woken IS NOT NULL AND name = '{Scene.LockName}'"))!, static count => count == 1, "runs whose turn has come");
        var begunMeanwhile = Scene.Begun;
        _running[0].Leave();

        await Scene.NextRunAsync();
        Assert.That(begunMeanwhile, Is.Zero);
    }

    private Task<Node> StartAsync(Store store = Store.Ado) => StartNodeAsync(
        store, static settings => settings with { After = static quartz => quartz.ConfigureScheduler(static options => options.IdleWaitTime = NotDuringATest) });

    /// <summary>All threads of a node.</summary>
    private async Task OccupyAsync(Node node)
    {
        for (var i = 0; i < Threads; i++) await node.RunAsync<PlainJob>(_occupied);
        for (var i = 0; i < Threads; i++) _running.Add(await _occupied.NextRunAsync());
    }
}
