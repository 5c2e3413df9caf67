using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>What a job does to its own trigger from inside comes to the same after it was put off.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class ActsOfTheJobTests : MechanismFixture
{
    public enum Act
    {
        UnscheduleFiringTrigger,
        UnscheduleAllTriggers,
        RefireImmediately,
        UnscheduleItself,
        RescheduleItself,
        PauseItself,
        DeleteItself,
    }

    [Test, Pairwise]
    public async Task Comes_to_the_same_for_its_triggers([Values] Store store, [Values] PutOff how, [Values] Act act, [Values] bool repeats)
    {
        Scene.Act = run => DoAsync(run.Context, act);

        var (bare, putOff) = await OnBothAsync(
            store,
            how,
            async node =>
            {
                await node.Scheduler.ScheduleJob(Job(JobType(how)), Trigger(trigger => trigger.WithIdentity("sibling", "mine").StartAt(Start.AddDays(1))));
                await node.Scheduler.ScheduleJob(Trigger(trigger =>
                {
                    trigger.ForJob(MyJob);
                    if (repeats) trigger.WithCalendarIntervalSchedule(static calendar => calendar.WithInterval(1, IntervalUnit.Hour));
                }));
            },
            async node =>
            {
                await Scene.NextRunAsync();
                await node.Node.Told.NextEndAsync();
                await node.Node.IsIdleAsync();
                return await JobView.SurroundingsAsync(node.Scheduler);
            });

        Assert.That(putOff, Is.EqualTo(bare));
    }

    [Test]
    public async Task Runs_again_at_once_with_the_same_trigger_where_it_asks_for_that([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        Scene.Act = static run => DoAsync(run.Context, Act.RefireImmediately);
        await ScheduleAsync(node, JobType(how));
        await IsPutOffAsync(node, how);

        await others.DisposeAsync();
        var runs = new[] { await Scene.NextRunAsync(), await Scene.NextRunAsync() };
        await node.Node.IsIdleAsync();

        Assert.That(runs.Select(static run => run.Context.Trigger.Key), Is.All.EqualTo(Mine));
        Assert.That(node.Heard.Count("JobWasExecuted"), Is.EqualTo(1));
        Assert.That(runs[1].Context.RefireCount, Is.EqualTo(1));
    }

    private static async Task DoAsync(IJobExecutionContext context, Act act)
    {
        var (scheduler, key) = (context.Scheduler, context.Trigger.Key);
        switch (act)
        {
            case Act.UnscheduleFiringTrigger:
                throw new JobExecutionException("This job ends its trigger.") { UnscheduleFiringTrigger = true };
            case Act.UnscheduleAllTriggers:
                throw new JobExecutionException("This job ends its triggers.") { UnscheduleAllTriggers = true };
            case Act.RefireImmediately when context.RefireCount == 0:
                throw new JobExecutionException("This job runs once more.") { RefireImmediately = true };
            case Act.UnscheduleItself:
                Assert.That(await scheduler.UnscheduleJob(key), Is.True, "unscheduled");
                break;
            case Act.RescheduleItself:
                var next = context.Trigger.GetTriggerBuilder().WithSimpleSchedule().StartAt(context.ScheduledFireTimeUtc!.Value.AddDays(2)).Build();
                Assert.That(await scheduler.RescheduleJob(key, next), Is.Not.Null, "rescheduled");
                break;
            case Act.PauseItself:
                await scheduler.PauseTrigger(key);
                break;
            case Act.DeleteItself:
                Assert.That(await scheduler.DeleteJob(context.JobDetail.Key), Is.True, "deleted");
                break;
        }
    }
}
