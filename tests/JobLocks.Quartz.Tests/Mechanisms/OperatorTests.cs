using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>What an operator does to a trigger holds, also in the moment in which its run is put back or its schedule goes on.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class OperatorTests : MechanismFixture
{
    // A run that is rescheduled each second ends with an occurrence behind it, and the next one ahead.
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(8);

    [Test]
    public async Task Holds_a_run_whose_trigger_is_paused_while_it_is_put_back([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        var details = new PauseDetails { Reason = "stocktaking", RequestedBy = "the office" };
        node.Node.JobStore.Fired = async _ => await node.Scheduler.PauseTriggerWith(Mine, details);
        await ScheduleAsync(node, JobType(how), static trigger => trigger.WithSimpleSchedule(TimeSpan.FromHours(1)).WithOverlapPolicy(OverlapPolicy.Skip));
        await IsPutOffAsync(node, how);
        // It is paused again just after it is put back.
        await Eventually.IsTrueOf(async () => await node.Scheduler.GetTriggerState(Mine), static state => state == TriggerState.Paused, "the state of the trigger");
        var why = await node.Scheduler.GetTriggerPause(Mine);

        node.Node.JobStore.Fired = static _ => Task.CompletedTask;
        await others.DisposeAsync();
        await NothingElseComesAsync();
        var early = Scene.Begun;
        await node.Scheduler.ResumeTrigger(Mine);
        var run = await RunEndsAsync(node);

        using (Assert.EnterMultipleScope())
        {
            Assert.That((why?.Reason, why?.RequestedBy), Is.EqualTo((details.Reason, details.RequestedBy)));
            Assert.That(early, Is.Zero, "runs while it is paused");
            Assert.That(run.Context.Trigger.Key, Is.EqualTo(Mine));
        }
    }

    [Test]
    public async Task Goes_by_the_new_schedule_of_a_trigger_that_is_rescheduled_while_its_run_is_put_back([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        var later = Start.AddHours(1);
        node.Node.JobStore.Fired = async _ => await node.Scheduler.RescheduleJob(Mine, Trigger(trigger => trigger.ForJob(MyJob).StartAt(later)));
        await ScheduleAsync(node, JobType(how), job: static job => job.StoreDurably());
        await IsRefusedAsync(node, Scene.LockName);

        await others.DisposeAsync();
        await NothingElseComesAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That((await node.Scheduler.GetTrigger(Mine))?.NextFireTimeUtc, Is.EqualTo(later));
            Assert.That(await node.Scheduler.GetTriggerState(Mine), Is.EqualTo(TriggerState.Normal));
            Assert.That(Scene.Begun, Is.Zero);
        }
    }

    [Test]
    public async Task Leaves_a_trigger_paused_that_is_paused_when_the_run_ends_that_was_put_off([Values] Store store)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        node.Node.JobStore.Ended = async _ => await node.Scheduler.PauseTrigger(Mine);
        await ScheduleAsync(node, SerialJobType(PutOff.Reschedule), trigger => trigger.StartAt(StartSoon()).WithSimpleSchedule(Interval));
        await IsPutOffAsync(node, PutOff.Reschedule);
        await PassAsync(Interval + TimeSpan.FromSeconds(1));

        await others.DisposeAsync();
        var run = await RunEndsAsync(node);
        await NothingElseComesAsync();
        await OnlyTheNextOccurrenceFiredAfterAsync(run);
        var state = await node.Scheduler.GetTriggerState(Mine);
        node.Node.JobStore.Ended = static _ => Task.CompletedTask;
        await node.Scheduler.ResumeTrigger(Mine);
        await Scene.NextRunAsync();

        Assert.That(state, Is.EqualTo(TriggerState.Paused));
        await node.Scheduler.UnscheduleJob(Mine);
    }

    [Test]
    public async Task Goes_by_the_new_schedule_of_a_trigger_that_is_rescheduled_when_the_run_ends_that_was_put_off([Values] Store store)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        var later = Start.AddHours(1);
        node.Node.JobStore.Ended = async _ => await node.Scheduler.RescheduleJob(Mine, Trigger(trigger => trigger.ForJob(MyJob).StartAt(later)));
        await ScheduleAsync(node, SerialJobType(PutOff.Reschedule), trigger => trigger.StartAt(StartSoon()).WithSimpleSchedule(Interval));
        await IsPutOffAsync(node, PutOff.Reschedule);
        await PassAsync(Interval + TimeSpan.FromSeconds(1));

        await others.DisposeAsync();
        var run = await RunEndsAsync(node);
        await NothingElseComesAsync();
        await OnlyTheNextOccurrenceFiredAfterAsync(run);

        Assert.That((await node.Scheduler.GetTrigger(Mine))?.NextFireTimeUtc, Is.EqualTo(later));
    }

    /// <summary>Nothing has, or the occurrence that came due while the run was put off: it may be fired between the end of the run and what is done then.</summary>
    private async Task OnlyTheNextOccurrenceFiredAfterAsync(Run run)
    {
        Assert.That(Scene.Begun, Is.InRange(1, 2));
        if (Scene.Begun == 2) Assert.That((await Scene.NextRunAsync()).Context.ScheduledFireTimeUtc, Is.Not.EqualTo(run.Context.ScheduledFireTimeUtc));
    }
}
