using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests;

/// <summary>What a person, or code of the application, does to a run that waits.</summary>
[TestFixture]
public sealed class WaitByHandTests : QuartzFixture
{
    [Test, CancelAfter(60_000)]
    public Task Removes_the_entry_of_a_run_that_was_unscheduled_and_wakes_the_next([Values] Store store) =>
        WakesTheNextAsync(store, static async (scheduler, run) => await scheduler.UnscheduleJob(run.Key));

    [Test, CancelAfter(60_000)]
    public Task Removes_the_entry_of_a_run_whose_job_was_deleted_and_wakes_the_next([Values] Store store) =>
        WakesTheNextAsync(store, static async (scheduler, run) => await scheduler.DeleteJob(run.JobKey));

    [Test, CancelAfter(60_000)]
    public async Task Removes_the_entry_of_an_unscheduled_run_while_the_lock_is_held([Values] Store store)
    {
        var node = await StartNodeAsync(store);
        await using var others = await OthersHoldAsync();
        await node.RunAsync<WaitingJob>(Scene);
        var parked = await node.Told.NextPutBackAsync();
        await ParkedAsync(1);

        await node.Scheduler.UnscheduleJob(parked.Key);
        await LineEndsAsync();

        Assert.That(Scene.Begun, Is.Zero);
    }

    [Test, CancelAfter(60_000)]
    public async Task Leaves_a_paused_run_alone_and_wakes_it_when_all_are_resumed([Values] Store store)
    {
        var node = await StartNodeAsync(store);
        var others = await OthersHoldAsync();
        await node.RunAsync<WaitingJob>(Scene);
        var parked = await node.Told.NextPutBackAsync();
        await ParkedAsync(1);

        await node.Scheduler.PauseTriggerGroups(GroupMatcher<TriggerKey>.GroupEquals(parked.Key.Group));
        await others.DisposeAsync();
        await Eventually.IsTrue(async () => await AskAsync($"SELECT woken IS NOT NULL FROM joblocks.wait_queue WHERE name = '{Scene.LockName}'") is true, "its turn");
        var state = await node.Scheduler.GetTriggerState(parked.Key);
        var begunMeanwhile = Scene.Begun;
        await node.Scheduler.ResumeAll();
        await Scene.NextRunAsync();
        await node.IsIdleAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(state, Is.EqualTo(TriggerState.Paused));
            Assert.That(begunMeanwhile, Is.Zero);
            Assert.That(Scene.Begun, Is.EqualTo(1));
            Assert.That(await LineAsync(), Is.Zero);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Runs_what_a_person_starts_by_hand_only_when_its_lock_is_free([Values] Store store)
    {
        var node = await StartNodeAsync(store);
        var others = await OthersHoldAsync();
        var (first, second) = await ParkTwoAsync(node);

        // As a person does who moves a trigger to this moment.
        await node.Scheduler.RescheduleJob(second.Key, second.GetTriggerBuilder().StartNow().Build());
        await node.Told.NextPutBackAsync();
        await ParkedAsync(2);
        await others.DisposeAsync();
        var runs = new[] { await Scene.NextRunAsync(), await Scene.NextRunAsync() };
        await node.IsIdleAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(runs.Select(static run => run.Context.Trigger.Key), Is.EqualTo([first.Key, second.Key]));
            Assert.That(Scene.Begun, Is.EqualTo(2));
            Assert.That(await LineAsync(), Is.Zero);
        }
    }

    private async Task WakesTheNextAsync(Store store, Func<IScheduler, ITrigger, Task> removeAsync)
    {
        var node = await StartNodeAsync(store);
        var others = await OthersHoldAsync();
        var (removed, next) = await ParkTwoAsync(node);

        await removeAsync(node.Scheduler, removed);
        await others.DisposeAsync();
        var run = await Scene.NextRunAsync();
        await LineEndsAsync();
        await node.IsIdleAsync();

        Assert.That(run.Context.Trigger.Key, Is.EqualTo(next.Key));
        Assert.That(Scene.Begun, Is.EqualTo(1));
    }

    private async Task<(ITrigger First, ITrigger Second)> ParkTwoAsync(Node node)
    {
        await node.RunAsync<WaitingJob>(Scene);
        var first = await node.Told.NextPutBackAsync();
        await ParkedAsync(1);
        await node.RunAsync<WaitingJob>(Scene);
        var second = await node.Told.NextPutBackAsync();
        await ParkedAsync(2);
        return (first, second);
    }
}
