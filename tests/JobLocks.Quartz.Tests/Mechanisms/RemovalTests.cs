using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>What is removed, moved or over while its run is put off does not run.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class RemovalTests : ShapeFixture
{
    public enum Removal
    {
        UnscheduleJob,
        UnscheduleJobs,
        UnscheduleGroup,
        DeleteJob,
        DeleteJobGroup,
        Clear,
    }

    [Test, Pairwise]
    public async Task Never_runs_what_was_removed_while_it_was_put_off([Values] Store store, [Values] PutOff how, [Values] Removal removal)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how));
        await IsPutOffAsync(node, how);

        Assert.That(await RemoveAsync(node.Scheduler, removal), Is.True, "something to remove");
        await NeverRunsAsync(node, how, others);
    }

    [Test, Pairwise]
    public async Task Never_runs_an_occurrence_whose_repeating_trigger_was_unscheduled(
        [Values] Store store, [Values] PutOff how, [Values(Shape.Simple, Shape.Cron)] Shape shape)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how), trigger => SetShape(trigger, shape));
        await IsPutOffAsync(node, how);

        Assert.That(await node.Scheduler.UnscheduleJob(Mine), Is.True);
        await NeverRunsAsync(node, how, others);
    }

    [Test]
    public async Task Leaves_the_wait_queue_when_it_is_removed_while_it_waits([Values] Store store)
    {
        var node = await StartWatchedAsync(store);
        await using var others = await OthersHoldAsync();
        await ScheduleAsync(node, typeof(WaitingJob));
        await IsPutOffAsync(node, PutOff.Wait);

        await node.Scheduler.UnscheduleJob(Mine);
        await others.DisposeAsync();
        await LineEndsAsync();

        Assert.That(Scene.Begun, Is.Zero);
    }

    [Test, Pairwise]
    public async Task Runs_once_and_by_the_new_schedule_where_it_was_rescheduled_while_it_was_put_off([Values] Store store, [Values] PutOff how, [Values] Shape shape)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        var trigger = await ScheduleAsync(node, JobType(how), trigger => SetShape(trigger, shape));
        await IsPutOffAsync(node, how);

        var moved = DateTimeOffset.FromUnixTimeSeconds(TimeProvider.System.GetUtcNow().ToUnixTimeSeconds() + 3);
        var next = await node.Scheduler.RescheduleJob(Mine, trigger.GetTriggerBuilder().WithSimpleSchedule().StartAt(moved).Build());
        await others.DisposeAsync();
        var run = await RunEndsAsync(node);
        await NothingElseComesAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(next, Is.EqualTo(moved));
            Assert.That(run.Context.Trigger.Key, Is.EqualTo(Mine));
            Assert.That(run.Context.ScheduledFireTimeUtc, Is.EqualTo(moved));
            Assert.That(run.Context.FireTimeUtc, Is.GreaterThanOrEqualTo(moved));
            Assert.That(Scene.Begun, Is.EqualTo(1));
        }
    }

    [Test, Pairwise]
    public async Task Does_not_run_what_ended_by_its_time_while_it_was_put_off([Values] Store store, [Values] PutOff how, [Values] bool repeats)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        var end = TimeProvider.System.GetUtcNow().AddSeconds(3);
        await ScheduleAsync(node, JobType(how), trigger =>
        {
            trigger.EndAt(end);
            if (repeats) trigger.WithSimpleSchedule(TimeSpan.FromHours(1));
        });
        await IsPutOffAsync(node, how);
        await PassAsync(end - TimeProvider.System.GetUtcNow() + TimeSpan.FromSeconds(0.5));

        await NeverRunsAsync(node, how, others);
    }

    [Test]
    public async Task Keeps_the_trigger_that_is_put_off_where_it_is_scheduled_once_more_under_its_key([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        var trigger = await ScheduleAsync(node, JobType(how));
        await IsPutOffAsync(node, how);

        var kept = await node.Scheduler.ScheduleTrigger(trigger.GetTriggerBuilder().StartAt(Start.AddDays(1)).Build(), TriggerConflict.Keep);
        await others.DisposeAsync();
        var run = await RunEndsAsync(node);
        await NothingElseComesAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(kept.Outcome, Is.EqualTo(ScheduleOutcome.Kept));
            Assert.That(run.Context.Trigger.Key, Is.EqualTo(Mine));
            Assert.That(Scene.Begun, Is.EqualTo(1));
        }
    }

    private static async Task<bool> RemoveAsync(IScheduler scheduler, Removal removal)
    {
        switch (removal)
        {
            case Removal.UnscheduleJob:
                return await scheduler.UnscheduleJob(Mine);
            case Removal.UnscheduleJobs:
                return (await scheduler.UnscheduleJobs([Mine])).Contains(Mine);
            case Removal.UnscheduleGroup:
                return (await scheduler.UnscheduleJobs(GroupMatcher<TriggerKey>.GroupEquals(Mine.Group))).Contains(Mine);
            case Removal.DeleteJob:
                return await scheduler.DeleteJob(MyJob);
            case Removal.DeleteJobGroup:
                return (await scheduler.DeleteJobs(GroupMatcher<JobKey>.GroupEquals(MyJob.Group))).Contains(MyJob);
            default:
                await scheduler.Clear();
                return true;
        }
    }

    /// <summary>A later run under the same lock, of a job and a trigger of its own, is the only one that comes.</summary>
    private async Task NeverRunsAsync(Watched node, PutOff how, JobLockHandle others)
    {
        await ScheduleAsync(
            node, JobType(how), static trigger => trigger.WithIdentity("later").StartAt(TimeProvider.System.GetUtcNow()), static job => job.WithIdentity("later"));
        await others.DisposeAsync();
        var run = await RunEndsAsync(node);
        await NothingElseComesAsync();

        Assert.That(run.Context.JobDetail.Key.Name, Is.EqualTo("later"));
        Assert.That(Scene.Begun, Is.EqualTo(1));
        Assert.That(await node.Scheduler.Exists(Mine), Is.False);
    }
}
