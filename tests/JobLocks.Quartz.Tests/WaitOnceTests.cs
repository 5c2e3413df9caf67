using JobLocks.Quartz.Tests.Support;
using JobLocks.Quartz.Waiting;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging.Abstractions;
using Quartz;

namespace JobLocks.Quartz.Tests;

/// <summary>A run that waits is started once, however slow its store or its node is.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class WaitOnceTests : QuartzFixture
{
    [Test]
    public async Task Leaves_a_run_alone_whose_firing_is_under_way([Values] Store store)
    {
        var slow = new SlowFiring();
        var node = await StartNodeAsync(store);
        node.JobStore.Fired = slow.FireAsync;
        var others = await OthersHoldAsync();
        await node.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(1);
        await others.DisposeAsync();
        await slow.Fires.Task.Soon();

        // Its turn came long ago, and so did that of another one, which shows when both were looked after.
        await AskAsync(
            $"""
            UPDATE joblocks.wait_queue SET woken = now() - interval '6 s' WHERE name = '{Scene.LockName}';
            INSERT INTO joblocks.wait_queue (key, name, mode, slots, store, run, queue, parked, claimed, woken)
            SELECT key, name, mode, slots, store, 'ghost', queue, true, true, woken FROM joblocks.wait_queue WHERE name = '{Scene.LockName}'
            """);
        await Eventually.IsTrueOf(async () => (long)(await AskAsync("SELECT count(*) FROM joblocks.wait_queue WHERE run = 'ghost'"))!, static count => count == 0, "the ghost");
        slow.LetGo();
        await Scene.NextRunAsync();
        await LineEndsAsync();
        await node.IsIdleAsync();

        Assert.That(Scene.Begun, Is.EqualTo(1));
        Assert.That(slow.Count, Is.EqualTo(1), "firings of the run that waited");
    }

    [Test]
    public async Task Keeps_its_entry_where_a_sweep_took_it_for_gone_while_its_store_was_slow([Values] Store store)
    {
        var node = await StartNodeAsync(store);
        node.JobStore.PutBack = _ => AskAsync("DELETE FROM joblocks.wait_queue WHERE NOT parked");
        var others = await OthersHoldAsync();
        await node.RunAsync<WaitingJob>(Scene);
        await node.Told.NextPutBackAsync();
        await ParkedAsync(1);

        await others.DisposeAsync();
        await Scene.NextRunAsync();
        await LineEndsAsync();

        Assert.That(Scene.Begun, Is.EqualTo(1));
    }

    [Test]
    public async Task Leaves_a_run_to_others_where_its_own_node_was_slow_to_wake_it([Values] Store store)
    {
        var node = await StartNodeAsync(store);
        var others = await OthersHoldAsync();
        await node.RunAsync<WaitingJob>(Scene);
        var parked = await node.Told.NextPutBackAsync();
        await ParkedAsync(1);
        var late = new WaitingRun(1, LockKey.Of(Scene.LockName), Scene.LockName, new("", HeldTrigger.NameOf(parked.Key), ""), IsParked: true, IsDeliveryClaimed: true, DateTimeOffset.UtcNow) { WakeBy = TimeSpan.Zero };

        await Assert.ThatAsync(async () => await RunsOf(node).WakeAsync([late], CancellationToken.None), Throws.TypeOf<TimeoutException>());
        var state = await RunsOf(node).GetStatesAsync([late], CancellationToken.None);
        await others.DisposeAsync();
        await Scene.NextRunAsync();
        await LineEndsAsync();

        Assert.That(state, Is.EqualTo([ParkedRunState.Parked]));
        Assert.That(Scene.Begun, Is.EqualTo(1));
    }

    private static QuartzRuns RunsOf(Node node) => new(node.JobStore.Triggers, new StoreIdInJob(node.JobStore.Triggers), TimeProvider.System, TimeSpan.FromMinutes(1), NullLogger.Instance);

    /// <summary>Holds up the firing of a run that had waited, before it comes to the gate.</summary>
    private sealed class SlowFiring
    {
        private readonly TaskCompletionSource _go = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private int _count;

        public TaskCompletionSource Fires { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public int Count => _count;

        public void LetGo() => _go.TrySetResult();

        public async Task FireAsync(ITrigger trigger)
        {
            if (!HeldTrigger.HasMark(trigger)) return;

            Interlocked.Increment(ref _count);
            Fires.TrySetResult();
            await _go.Task;
        }
    }
}
