using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>What is paused while its run is put off is held, and comes after it is resumed.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class PauseTests : ShapeFixture
{
    public enum Pause
    {
        Trigger,
        Triggers,
        TriggerGroup,
        Job,
        Jobs,
        JobGroup,
        All,
    }

    [Test, Pairwise]
    public async Task Holds_a_run_that_is_put_off_until_it_is_resumed([Values] Store store, [Values] PutOff how, [Values] Pause pause)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how));
        await IsPutOffAsync(node, how);

        await PauseAsync(node.Scheduler, pause);
        var state = await node.Scheduler.GetTriggerState(Mine);
        await IsHeldUntilAsync(node, others, () => ResumeAsync(node.Scheduler, pause));

        Assert.That(state, Is.EqualTo(TriggerState.Paused));
    }

    [Test, Pairwise]
    public async Task Holds_an_occurrence_of_a_repeating_trigger_until_it_is_resumed(
        [Values] Store store, [Values] PutOff how, [Values(Shape.Simple, Shape.Cron)] Shape shape)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how), trigger => SetShape(trigger, shape));
        await IsPutOffAsync(node, how);

        await node.Scheduler.PauseTrigger(Mine);
        await IsHeldUntilAsync(node, others, async () => await node.Scheduler.ResumeTrigger(Mine));
    }

    [Test, Pairwise]
    public async Task Runs_what_is_resumed_by_itself_after_everything_was_paused(
        [Values] Store store, [Values] PutOff how, [Values(Shape.Once, Shape.Simple)] Shape shape, [Values(Pause.Trigger, Pause.Triggers, Pause.TriggerGroup, Pause.Job)] Pause resume)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how), trigger => SetShape(trigger, shape));
        await IsPutOffAsync(node, how);

        await node.Scheduler.PauseAll();
        await ResumeAsync(node.Scheduler, resume);
        await others.DisposeAsync();
        var run = await RunEndsAsync(node);
        await node.Scheduler.ResumeAll();

        Assert.That(run.Context.Trigger.Key, Is.EqualTo(Mine));
    }

    [Test]
    public async Task Says_why_the_trigger_is_paused_whose_run_is_put_off([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how));
        await IsPutOffAsync(node, how);

        var paused = await node.Scheduler.PauseTriggerWith(Mine, new() { Reason = "stocktaking", RequestedBy = "the office" });
        var why = await node.Scheduler.GetTriggerPause(Mine);
        await node.Scheduler.ResumeTrigger(Mine);
        await others.DisposeAsync();
        await RunEndsAsync(node);

        Assert.That(paused, Is.True);
        Assert.That((why?.Reason, why?.RequestedBy), Is.EqualTo(("stocktaking", "the office")));
    }

    [Test]
    public async Task Lets_other_runs_of_the_lock_bypass_one_that_is_paused([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how));
        await IsPutOffAsync(node, how);
        await node.Scheduler.PauseTrigger(Mine);

        await ScheduleAsync(node, JobType(how), static trigger => trigger.WithIdentity("later"), static job => job.WithIdentity("later"));
        await others.DisposeAsync();
        var first = await RunEndsAsync(node);
        await node.Scheduler.ResumeTrigger(Mine);
        var second = await RunEndsAsync(node);

        Assert.That(new[] { first, second }.Select(static run => run.Context.JobDetail.Key.Name), Is.EqualTo(["later", MyJob.Name]));
    }

    [Test]
    public async Task Is_not_waited_for_by_a_scheduler_in_standby_and_runs_when_it_goes_on([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how));
        await IsPutOffAsync(node, how);

        await node.Scheduler.Standby();
        await IsHeldUntilAsync(node, others, async () => await node.Scheduler.Start());
    }

    [Test]
    public async Task Does_not_hold_up_a_shutdown_that_waits_for_runs_and_runs_on_another_node([Values] PutOff how)
    {
        var first = await StartWatchedAsync(Store.Ado);
        var others = await OthersHoldAsync();
        await ScheduleAsync(first, JobType(how));
        await IsPutOffAsync(first, how);

        await first.Scheduler.Shutdown(waitForJobsToComplete: true).AsTask().Soon();
        await EndAsync(first.Node);
        var second = await StartWatchedAsync(Store.Ado);
        await others.DisposeAsync();
        var run = await RunEndsAsync(second);

        Assert.That(run.Context.Trigger.Key, Is.EqualTo(Mine));
        Assert.That(run.Context.Recovering, Is.False);
    }

    private static Task PauseAsync(IScheduler scheduler, Pause pause) => pause switch
    {
        Pause.Trigger => scheduler.PauseTrigger(Mine).AsTask(),
        Pause.Triggers => scheduler.PauseTriggers([Mine]).AsTask(),
        Pause.TriggerGroup => scheduler.PauseTriggerGroups(GroupMatcher<TriggerKey>.GroupEquals(Mine.Group)).AsTask(),
        Pause.Job => scheduler.PauseJob(MyJob).AsTask(),
        Pause.Jobs => scheduler.PauseJobs([MyJob]).AsTask(),
        Pause.JobGroup => scheduler.PauseJobGroups(GroupMatcher<JobKey>.GroupEquals(MyJob.Group)).AsTask(),
        _ => scheduler.PauseAll().AsTask(),
    };

    private static Task ResumeAsync(IScheduler scheduler, Pause pause) => pause switch
    {
        Pause.Trigger => scheduler.ResumeTrigger(Mine).AsTask(),
        Pause.Triggers => scheduler.ResumeTriggers([Mine]).AsTask(),
        Pause.TriggerGroup => scheduler.ResumeTriggerGroups(GroupMatcher<TriggerKey>.GroupEquals(Mine.Group)).AsTask(),
        Pause.Job => scheduler.ResumeJob(MyJob).AsTask(),
        Pause.Jobs => scheduler.ResumeJobs([MyJob]).AsTask(),
        Pause.JobGroup => scheduler.ResumeJobGroups(GroupMatcher<JobKey>.GroupEquals(MyJob.Group)).AsTask(),
        _ => scheduler.ResumeAll().AsTask(),
    };

    private async Task IsHeldUntilAsync(Watched node, JobLockHandle others, Func<Task> resume)
    {
        await others.DisposeAsync();
        await NothingElseComesAsync();
        var early = Scene.Begun;
        await resume();
        var run = await RunEndsAsync(node);
        await NothingElseComesAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(early, Is.Zero, "runs while it is held");
            Assert.That(run.Context.Trigger.Key, Is.EqualTo(Mine));
            Assert.That(Scene.Begun, Is.EqualTo(1));
        }
    }
}
