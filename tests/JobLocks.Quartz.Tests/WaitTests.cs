using System.Collections.Concurrent;
using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests;

[TestFixture]
public sealed class WaitTests : QuartzFixture
{
    [Test, CancelAfter(60_000)]
    public async Task Waits_in_the_queue_and_runs_as_soon_as_the_lock_is_released([Values] Store store)
    {
        Scene.Act = static run => run.UntilToldAsync();
        var lines = new LogLines();
        var node = await StartNodeAsync(store, settings => settings with { Loggers = lines });
        await node.RunAsync<WaitingJob>(Scene);
        var first = await Scene.NextRunAsync();

        var waiting = await node.RunAsync<WaitingJob>(Scene);
        var said = await lines.NextAsync("Waiting for").Soon();
        var parked = await node.Told.NextPutBackAsync();
        var begunMeanwhile = Scene.Begun;
        first.Leave();
        var second = await Scene.NextRunAsync();
        second.Leave();
        await node.IsIdleAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(parked.Key, Is.EqualTo(waiting.Key));
            Assert.That(said, Does.Match(@$"Waiting for scene\({Scene.Id}\), held by Quartz job \S+ fired \S+ on \S+ since [^,]+, position 1$"));
            Assert.That(begunMeanwhile, Is.EqualTo(1));
            Assert.That(Scene.Begun, Is.EqualTo(2));
            Assert.That(Scene.MostAtOnce, Is.EqualTo(1));
            Assert.That(await LineAsync(), Is.Zero);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Keeps_nothing_in_memory_of_runs_that_have_ended([Values] Store store)
    {
        const int Count = 12;
        var fired = new ConcurrentBag<WeakReference<ITrigger>>();
        var node = await StartNodeAsync(store);
        node.JobStore.Fired = trigger =>
        {
            fired.Add(new(trigger));
            return Task.CompletedTask;
        };
        var others = await OthersHoldAsync();
        foreach (var _ in Enumerable.Range(0, Count)) await node.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(Count);

        await others.DisposeAsync();
        foreach (var _ in Enumerable.Range(0, Count))
        {
            await Scene.NextRunAsync();
            await node.Told.NextEndAsync();
        }

        await node.IsIdleAsync();

        Assert.That(fired, Has.Count.AtLeast(2 * Count));
        // A thread may still refer to its last run.
        await Eventually.IsTrueOf(() => Task.FromResult(CountAlive(fired)), static alive => alive < Count / 2, "runs in memory");
    }

    private static int CountAlive(IEnumerable<WeakReference<ITrigger>> fired)
    {
        GC.Collect();
        return fired.Count(static trigger => trigger.TryGetTarget(out _));
    }

    [Test, CancelAfter(60_000)]
    public async Task Waits_with_all_its_data_in_a_store_that_keeps_texts_only()
    {
        var node = await StartNodeAsync(Store.Ado, static node => node with { KeepsTextsOnly = true });
        var others = await OthersHoldAsync();

        await node.RunAsync<WaitingJob>(Scene, static trigger => trigger.UsingJobData("colour", "green").WithPriority(7));
        await ParkedAsync(1);
        await others.DisposeAsync();
        var run = await Scene.NextRunAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(run.Handle?.Name, Is.EqualTo(Scene.LockName));
            Assert.That(run.Context.MergedJobDataMap["colour"], Is.EqualTo("green"));
            Assert.That(run.Context.Trigger.Priority, Is.EqualTo(7));
            Assert.That(Scene.Begun, Is.EqualTo(1));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Runs_each_once_where_two_nodes_share_the_wait_queue([Values(Store.Ado)] Store store)
    {
        Scene.Act = static _ => Task.Delay(5);
        var nodes = new[] { await StartNodeAsync(store), await StartNodeAsync(store) };

        for (var i = 0; i < 40; i++) await nodes[i % 2].RunAsync<WaitingJob>(Scene);
        for (var i = 0; i < 40; i++) await Scene.NextRunAsync();
        foreach (var node in nodes) await node.IsIdleAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(Scene.Begun, Is.EqualTo(40));
            Assert.That(Scene.MostAtOnce, Is.EqualTo(1));
            Assert.That(await LineAsync(), Is.Zero);
        }
    }
}
