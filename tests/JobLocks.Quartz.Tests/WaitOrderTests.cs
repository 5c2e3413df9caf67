using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests;

/// <summary>Whose turn it is, and what a run that waited leaves as it was.</summary>
[TestFixture]
public sealed class WaitOrderTests : QuartzFixture
{
    private const string Number = "number";

    [Test, CancelAfter(60_000)]
    public async Task Runs_those_who_wait_in_the_order_in_which_they_came_whatever_node_they_came_to()
    {
        var nodes = new[] { await StartNodeAsync(Store.Ado), await StartNodeAsync(Store.Ado) };
        var others = await OthersHoldAsync();
        for (var number = 1; number <= 10; number++)
        {
            await nodes[number % 2].RunAsync<WaitingJob>(Scene, trigger => trigger.UsingJobData(Number, number));
            await ParkedAsync(number);
        }

        await others.DisposeAsync();
        var numbers = new List<object?>();
        for (var i = 0; i < 10; i++) numbers.Add((await Scene.NextRunAsync()).Context.MergedJobDataMap[Number]);
        foreach (var node in nodes) await node.IsIdleAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(numbers, Is.EqualTo(Enumerable.Range(1, 10)));
            Assert.That(Scene.MostAtOnce, Is.EqualTo(1));
            Assert.That(await LineAsync(), Is.Zero);
            Assert.That(await AskAsync("SELECT count(*) FROM qrtz_triggers WHERE trigger_state IN ('BLOCKED', 'ACQUIRED')"), Is.Zero);
            Assert.That(await AskAsync("SELECT count(*) FROM qrtz_triggers WHERE trigger_group = 'joblocks'"), Is.Zero);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Keeps_a_repeating_schedule_when_an_occurrence_waits([Values] Store store)
    {
        var node = await StartNodeAsync(store);
        var others = await OthersHoldAsync();

        var repeating = await node.RunAsync<WaitingJob>(
            Scene,
            static trigger => trigger.WithSchedule(SimpleScheduleBuilder.Create().WithInterval(TimeSpan.FromHours(2)).RepeatForever()));
        await ParkedAsync(1);
        var meanwhile = await node.Scheduler.GetTrigger(repeating.Key);
        await others.DisposeAsync();
        var run = await Scene.NextRunAsync();
        await node.IsIdleAsync();
        var after = await node.Scheduler.GetTrigger(repeating.Key);
        await node.Scheduler.UnscheduleJob(repeating.Key);

        using (Assert.EnterMultipleScope())
        {
            Assert.That((meanwhile!.NextFireTimeUtc - repeating.StartTimeUtc)!.Value.TotalHours, Is.EqualTo(2).Within(0.001));
            Assert.That(after!.NextFireTimeUtc, Is.EqualTo(meanwhile.NextFireTimeUtc));
            Assert.That(run.Context.Trigger.Key, Is.EqualTo(repeating.Key));
            Assert.That(Scene.Begun, Is.EqualTo(1));
            Assert.That(await LineAsync(), Is.Zero);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Waits_until_a_run_that_is_refired_at_once_has_really_ended([Values] Store store)
    {
        Scene.Act = static async run =>
        {
            await run.UntilToldAsync();
            if (run.Context.RefireCount == 0) throw new JobExecutionException { RefireImmediately = true };
        };
        var node = await StartNodeAsync(store);
        await node.RunAsync<WaitingJob>(Scene, static trigger => trigger.UsingJobData(Number, 1));
        var first = await Scene.NextRunAsync();
        await node.RunAsync<WaitingJob>(Scene, static trigger => trigger.UsingJobData(Number, 2));
        await ParkedAsync(1);

        first.Leave();
        var refired = await Scene.NextRunAsync();
        var line = await LineAsync();
        refired.Leave();
        Scene.Act = static _ => Task.CompletedTask;
        var second = await Scene.NextRunAsync();
        await node.IsIdleAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(new[] { refired, second }.Select(static run => run.Context.MergedJobDataMap[Number]), Is.EqualTo([1, 2]));
            Assert.That(line, Is.EqualTo(1));
            Assert.That(Scene.MostAtOnce, Is.EqualTo(1));
            Assert.That(await LineAsync(), Is.Zero);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_woken_by_another_node_when_its_own_has_ended()
    {
        var (one, other) = (await StartNodeAsync(Store.Ado, static node => node with { IsStarted = false }), await StartNodeAsync(Store.Ado));
        var others = await OthersHoldAsync();
        await other.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(1);

        await one.Scheduler.Start();
        await EndAsync(other);
        await others.DisposeAsync();
        var run = await Scene.NextRunAsync();
        await one.IsIdleAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(run.Context.Scheduler.SchedulerInstanceId, Is.EqualTo(one.Scheduler.SchedulerInstanceId));
            Assert.That(Scene.Begun, Is.EqualTo(1));
            Assert.That(await LineAsync(), Is.Zero);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_woken_when_the_session_of_the_holder_is_ended([Values] Store store)
    {
        var node = await StartNodeAsync(store);
        using var held = await OthersHoldAsync();
        await node.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(1);

        await AskAsync("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'others' AND datname = current_database()");
        await Scene.NextRunAsync();
        await node.IsIdleAsync();

        Assert.That(Scene.Begun, Is.EqualTo(1));
        Assert.That(await LineAsync(), Is.Zero);
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_woken_where_its_node_ended_between_the_parking_and_the_note_of_it([Values] Store store)
    {
        var node = await StartNodeAsync(store);
        var others = await OthersHoldAsync();
        await node.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(1);

        await AskAsync($"UPDATE joblocks.wait_queue SET parked = false, woken = now() - interval '5 s', claimed = false WHERE name = '{Scene.LockName}'");
        await others.DisposeAsync();
        await Scene.NextRunAsync();
        await node.IsIdleAsync();

        Assert.That(Scene.Begun, Is.EqualTo(1));
        Assert.That(await LineAsync(), Is.Zero);
    }
}
