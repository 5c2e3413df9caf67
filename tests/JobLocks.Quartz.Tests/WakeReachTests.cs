using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests;

/// <summary>What becomes of runs that wait when their node stops or stands by, and when a job is scheduled anew.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class WakeReachTests : QuartzFixture
{
    private static readonly TimeSpan NotDuringATest = TimeSpan.FromMinutes(2);

    [Test]
    public async Task A_run_that_was_woken_starts_on_the_other_node_when_its_own_goes_to_standby_at_that_moment()
    {
        var own = await StartAsync();
        var held = await own.Locks.TryAcquireAsync(Scene.LockName);
        await own.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(1);
        await StartAsync();
        await ServedByAsync(2);

        await own.Scheduler.Standby();
        await held!.DisposeAsync();

        await Scene.NextRunAsync();
    }

    [Test]
    public async Task A_ram_store_that_is_shut_down_in_order_leaves_no_entry([Values] bool byHand)
    {
        await using var others = await OthersHoldAsync();
        var node = await StartNodeAsync(Store.Ram, settings => settings with { ByHand = byHand });
        await node.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(1);

        await EndAsync(node);

        Assert.That(await LineAsync(), Is.Zero);
    }

    [Test]
    public async Task A_locker_by_hand_acquires_at_once_after_both_applications_have_stopped([Values] Store store)
    {
        var others = await OthersHoldAsync();
        var node = await StartNodeAsync(store);
        for (var i = 0; i < 4; i++) await node.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(4);
        await EndAsync(node);
        await others.DisposeAsync();
        await NothingIsHeldAsync();

        await using var acquired = await OthersTryAsync();

        Assert.That(acquired, Is.Not.Null);
    }

    [Test]
    public async Task Deleted_and_scheduled_anew_with_the_same_keys_runs([Values] Store store, [Values] bool newest, [Values] bool recurring)
    {
        var others = await OthersHoldAsync();
        var node = await StartNodeAsync(store);
        await ScheduleAsync(node, newest, recurring);
        await ParkedAsync(1);

        Assert.That(await node.Scheduler.DeleteJob(new JobKey("the job")), Is.True);
        await ScheduleAsync(node, newest, recurring);
        await ParkedAsync(1);
        await others.DisposeAsync();

        await Scene.NextRunAsync();
        if (recurring) await node.Scheduler.DeleteJob(new JobKey("the job"));
        await LineEndsAsync();
    }

    [Test]
    public async Task Scheduled_anew_with_the_same_keys_waits_for_as_long_as_its_rule_says([Values] Store store)
    {
        var others = await OthersHoldAsync();
        var node = await StartNodeAsync(store);
        await node.Scheduler.ScheduleJob(Job(), Trigger());
        await ParkedAsync(1);

        await node.Scheduler.DeleteJob(new JobKey("the job"));
        await AskAsync($"UPDATE joblocks.wait_queue SET since = now() - interval '3 h', until = now() - interval '1 h' WHERE name = '{Scene.LockName}'");
        await node.Scheduler.ScheduleJob(Job(), Trigger());
        await Eventually.IsTrueOf(
            async () => (long)(await AskAsync($"SELECT count(*) FROM joblocks.wait_queue WHERE parked AND until > now() + interval '1 h' AND name = '{Scene.LockName}'"))!, static count => count == 1, "runs that wait");
        await others.DisposeAsync();

        await Scene.NextRunAsync();
        await LineEndsAsync();

        static IJobDetail Job() => JobBuilder.Create<PatientJob>().WithIdentity("the job").Build();
        ITrigger Trigger() => TriggerBuilder.Create().WithIdentity("the trigger").ForJob("the job").UsingJobData(Scene.Key, Scene.Id).StartNow().Build();
    }

    [Test]
    public async Task Leaves_a_lock_free_where_the_trigger_of_a_waiting_run_was_replaced_by_one_of_another_job([Values] Store store, [Values] bool recurring)
    {
        var others = await OthersHoldAsync();
        var node = await StartNodeAsync(store);
        await ScheduleAsync(node, newest: false, recurring);
        await ParkedAsync(1);

        await node.Scheduler.DeleteJob(new JobKey("the job"));
        using var second = new Scene { Act = static run => run.UntilToldAsync() };
        var replacement = JobBuilder.Create<PlainJob>().WithIdentity("another job").Build();
        var trigger = TriggerBuilder.Create().WithIdentity("the trigger").ForJob(replacement).UsingJobData(Scene.Key, second.Id).StartNow();
        if (recurring) trigger = trigger.WithSimpleSchedule(static daily => daily.WithInterval(TimeSpan.FromDays(1)).RepeatForever());
        await node.Scheduler.ScheduleJob(replacement, trigger.Build());
        var running = await second.NextRunAsync();
        await others.DisposeAsync();

        await LineEndsAsync();
        await LockIsFreeAsync();
        running.Leave();
        if (recurring) await node.Scheduler.DeleteJob(new JobKey("another job"));
    }

    private async Task ScheduleAsync(Node node, bool newest, bool recurring)
    {
        var detail = newest
            ? JobBuilder.Create<ReplacingJob>().WithIdentity("the job").Build()
            : JobBuilder.Create<JoiningJob>().WithIdentity("the job").Build();
        var trigger = TriggerBuilder.Create().WithIdentity("the trigger").ForJob(detail).UsingJobData(Scene.Key, Scene.Id).StartNow();
        if (recurring) trigger = trigger.WithSimpleSchedule(static daily => daily.WithInterval(TimeSpan.FromDays(1)).RepeatForever());
        await node.Scheduler.ScheduleJob(detail, trigger.Build());
    }

    private Task<Node> StartAsync(Store store = Store.Ado) => StartNodeAsync(
        store, static settings => settings with { After = static quartz => quartz.ConfigureScheduler(static options => options.IdleWaitTime = NotDuringATest) });
}
