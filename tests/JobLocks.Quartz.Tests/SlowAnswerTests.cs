using JobLocks.Quartz.Tests.Support;
using JobLocks.Testing.Postgres;
using Quartz;

namespace JobLocks.Quartz.Tests;

/// <summary>The lock server answers, but takes longer for it than the scheduler waits.</summary>
[TestFixture, CancelAfter(180_000)]
public sealed class SlowAnswerTests : QuartzFixture
{
    // Each way. A woken run asks for its place, for its locks, and leaves the queue.
    private static readonly TimeSpan Latency = TimeSpan.FromMilliseconds(250);

    [Test]
    public async Task Runs_in_order_what_has_waited([Values] Store store)
    {
        await using var network = await FaultyNetwork.StartAsync(Database);
        var node = await StartNodeAsync(store, settings => settings with { Database = network.ConnectionString, StoreDatabase = Database });
        var others = await OthersHoldAsync();
        ITrigger[] waiting = [await ParkAsync(node, 1), await ParkAsync(node, 2)];

        network.Delay(Latency);
        await others.DisposeAsync();
        Run[] runs = [await Scene.NextRunAsync(), await Scene.NextRunAsync()];
        network.Heal();
        await node.IsIdleAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(runs.Select(static run => run.Context.Trigger.Key), Is.EqualTo(waiting.Select(static trigger => trigger.Key)));
            Assert.That(Scene.Begun, Is.EqualTo(waiting.Length));
            Assert.That(await LineAsync(), Is.Zero);
        }
    }

    [Test]
    public async Task Runs_once_what_meets_no_other_run([Values] Store store)
    {
        await using var network = await FaultyNetwork.StartAsync(Database);
        var node = await StartNodeAsync(store, settings => settings with { Database = network.ConnectionString, StoreDatabase = Database });
        await node.RunAsync<SkippingJob>(Scene);
        await Scene.NextRunAsync();

        // A run that meets nobody asks once.
        network.Delay(2 * Latency);
        await node.RunAsync<SkippingJob>(Scene);
        // The scheduler does not wait for the first answers, and tries again after fifteen seconds.
        await Scene.NextRunAsync(TimeSpan.FromMinutes(2));
        network.Heal();
        await node.IsIdleAsync();

        Assert.That(Scene.Begun, Is.EqualTo(2));
    }

    [Test]
    public async Task Gives_the_lock_back_and_keeps_the_run_where_the_scheduler_goes_into_standby([Values] Store store)
    {
        await using var network = await FaultyNetwork.StartAsync(Database);
        var node = await StartNodeAsync(store, settings => settings with { Database = network.ConnectionString, StoreDatabase = Database });
        var others = await OthersHoldAsync();
        await ParkAsync(node, 1);
        node.JobStore.Fired = async _ => await node.Scheduler.Standby();

        network.Delay(Latency);
        await others.DisposeAsync();
        await LockIsFreeAsync();
        network.Heal();
        node.JobStore.Fired = static _ => Task.CompletedTask;
        await node.Scheduler.Start();
        await Scene.NextRunAsync();
        await node.IsIdleAsync();

        Assert.That(Scene.Begun, Is.EqualTo(1));
        Assert.That(await LineAsync(), Is.Zero);
    }

    [Test]
    public async Task Fires_jobs_without_a_lock_while_the_lock_server_gives_no_answer([Values] Store store)
    {
        const int Jobs = 5;
        await using var network = await FaultyNetwork.StartAsync(Database);
        var node = await StartNodeAsync(store, settings => settings with { Database = network.ConnectionString, StoreDatabase = Database });
        await node.RunAsync<WaitingJob>(Scene);
        await Scene.NextRunAsync();
        using var others = new Scene();

        network.Hold();
        await node.RunAsync<WaitingJob>(Scene);
        for (var i = 0; i < Jobs; i++) await node.RunAsync<PlainJob>(others);
        for (var i = 0; i < Jobs; i++) await others.NextRunAsync();
        var begunMeanwhile = Scene.Begun;
        network.Heal();
        await Scene.NextRunAsync();
        await node.IsIdleAsync();

        Assert.That((begunMeanwhile, Scene.Begun), Is.EqualTo((1, 2)));
    }

    private async Task<ITrigger> ParkAsync(Node node, int nth)
    {
        await node.RunAsync<WaitingJob>(Scene);
        var parked = await node.Told.NextPutBackAsync();
        await ParkedAsync(nth);
        return parked;
    }
}
