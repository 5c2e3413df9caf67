using JobLocks.Quartz.Tests.Support;
using Quartz;
using Quartz.Impl.Calendar;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>What an operator finds and changes in the store while a run is put off.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class StoreViewTests : ShapeFixture
{
    [Test, Pairwise]
    public async Task Shows_the_own_trigger_and_no_other_while_the_run_is_put_off([Values] Store store, [Values] PutOff how, [Values] Shape shape)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        var trigger = await ScheduleAsync(node, JobType(how), trigger => SetShape(trigger.WithDescription("described"), shape));
        await IsPutOffAsync(node, how);

        var stored = await node.Scheduler.GetTrigger(Mine);
        var all = (await node.Scheduler.QueryTriggers(new())).Items;
        var ofTheJob = await node.Scheduler.GetTriggersOfJob(MyJob);
        var groups = await node.Scheduler.GetTriggerGroupNames();
        await others.DisposeAsync();
        await RunEndsAsync(node);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(stored, Is.InstanceOf(trigger.GetType()));
            Assert.That(stored?.Description, Is.EqualTo("described"));
            Assert.That(all.Where(static header => !header.JobKey.Equals(Heard.StoreJob)).Select(static header => header.Key), Is.EqualTo([Mine]));
            Assert.That(all.Where(static header => header.Key.Equals(Mine)).Select(static header => header.State), Is.All.EqualTo(TriggerState.Normal));
            Assert.That(ofTheJob.Select(static found => found.Key), Is.EqualTo([Mine]));
            Assert.That(groups, Does.Contain(Mine.Group));
        }
    }

    [Test, Pairwise]
    public async Task Keeps_a_repeating_trigger_at_its_next_time_while_an_occurrence_is_put_off(
        [Values] Store store, [Values] PutOff how, [Values(Shape.Simple, Shape.Cron)] Shape shape)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        var trigger = await ScheduleAsync(node, JobType(how), trigger => SetShape(trigger, shape));
        await IsPutOffAsync(node, how);
        var early = (await node.Scheduler.GetTrigger(Mine))?.NextFireTimeUtc;

        await others.DisposeAsync();
        await RunEndsAsync(node);
        var late = await node.Scheduler.GetTrigger(Mine);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(early, Is.EqualTo(trigger.GetFireTimeAfter(Start)), "the next time while it is put off");
            Assert.That(late?.NextFireTimeUtc, Is.EqualTo(trigger.GetFireTimeAfter(Start)));
            Assert.That(late?.PreviousFireTimeUtc, Is.EqualTo(Start));
        }
    }

    [Test]
    public async Task Runs_with_what_was_changed_of_its_trigger_while_it_waits([Values] Store store)
    {
        // A trigger that is due within the scheduler's idle wait is acquired already, with the details that it had then: so is a rescheduled one.
        const PutOff how = PutOff.Wait;
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how), static trigger => trigger.UsingJobData("colour", "green"));
        await IsPutOffAsync(node, how);

        var changed = await node.Scheduler.UpdateTriggerDetails(
            Mine, new TriggerDetailsUpdate().WithJobDataMap(new() { [Scene.Key] = Scene.Id, ["colour"] = "red" }).WithPriority(9).WithDescription("changed"));
        await others.DisposeAsync();
        var run = await RunEndsAsync(node);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(changed, Is.True);
            Assert.That(run.Context.MergedJobDataMap["colour"], Is.EqualTo("red"));
            Assert.That((run.Context.Trigger.Priority, run.Context.Trigger.Description), Is.EqualTo((9, "changed")));
        }
    }

    [Test]
    public async Task Runs_with_what_was_changed_of_its_job_while_it_was_put_off([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how), job: static job => job.StoreDurably().UsingJobData("size", 4));
        await IsPutOffAsync(node, how);

        await node.Scheduler.AddJob(Job(JobType(how), static job => job.StoreDurably().UsingJobData("size", 5)), AddJobOptions.Replacing);
        await others.DisposeAsync();
        var run = await RunEndsAsync(node);

        Assert.That(run.Context.MergedJobDataMap["size"], Is.EqualTo(5));
    }

    [Test]
    public async Task Keeps_the_calendar_of_a_trigger_whose_run_is_put_off([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await node.Scheduler.AddCalendar("all days", new BaseCalendar { Description = "all days" });
        await ScheduleAsync(node, JobType(how), static trigger => trigger.WithCalendarName("all days"));
        await IsPutOffAsync(node, how);

        await Assert.ThatAsync(async () => await node.Scheduler.DeleteCalendar("all days"), Throws.InstanceOf<JobPersistenceException>());
        await others.DisposeAsync();
        var run = await RunEndsAsync(node);

        Assert.That(run.Context.Trigger.CalendarName, Is.EqualTo("all days"));
        Assert.That(run.Context.Calendar?.Description, Is.EqualTo("all days"));
    }

    [Test]
    public async Task Leaves_nothing_in_the_store_when_the_run_has_ended([Values] Store store, [Values] PutOff how)
    {
        var (bare, putOff) = await OnBothAsync(store, how, node => ScheduleAsync(node, JobType(how)), async node =>
        {
            await RunEndsAsync(node);
            return await JobView.SurroundingsAsync(node.Scheduler);
        });

        Assert.That(putOff, Is.EqualTo(bare));
    }
}
