using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests;

/// <summary>What a refusal leaves as it was: schedules, retries, runs that had begun.</summary>
public sealed class ScheduleTests : QuartzFixture
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);

    [Test]
    public async Task Keeps_a_repeating_schedule_when_an_occurrence_is_refused([Values] Store store)
    {
        var node = await StartNodeAsync(store);
        var others = await OthersHoldAsync();

        var repeating = await node.RunAsync<ReschedulingJob>(
            Scene,
            static trigger => trigger.WithSchedule(SimpleScheduleBuilder.Create().WithInterval(Interval).RepeatForever()),
            static job => job.StoreDurably());
        await node.Told.NextPutBackAsync();
        await node.Told.NextPutBackAsync();
        var after = await node.Scheduler.GetTrigger(repeating.Key);
        await others.DisposeAsync();
        var fromSchedule = await RunOfAsync(repeating.Key);
        await node.Scheduler.UnscheduleJobs(await node.Scheduler.GetTriggerKeys(GroupMatcher<TriggerKey>.AnyGroup()));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(after, Is.InstanceOf<ISimpleTrigger>().With.Property(nameof(ISimpleTrigger.RepeatInterval)).EqualTo(Interval));
            Assert.That((after!.NextFireTimeUtc - repeating.StartTimeUtc)!.Value.TotalSeconds % Interval.TotalSeconds, Is.Zero.Within(0.001));
            Assert.That(fromSchedule.Context.ScheduledFireTimeUtc, Is.Not.Null);
        }
    }

    [Test]
    public async Task Tries_a_retry_again_and_never_skips_it([Values] Store store)
    {
        var lines = new LogLines();
        var node = await StartNodeAsync(store, settings => settings with { Loggers = lines });
        var others = new TaskCompletionSource<JobLockHandle>(TaskCreationOptions.RunContinuationsAsynchronously);
        Scene.Act = static run => run.Context.RetryAttempt == 0 ? throw new JobExecutionException("This job throws once.") : Task.CompletedTask;

        await node.RunAsync<SkippingJob>(Scene, static trigger => trigger.WithRetryPolicy(RetryPolicy.Fixed(3, TimeSpan.FromSeconds(1))));
        await node.Told.NextEndAsync();
        others.SetResult(await Others.AcquireAsync(Scene.LockName, Eventually.Patience));
        var said = await lines.NextAsync("is rescheduled to").Soon();
        await (await others.Task).DisposeAsync();
        await Scene.NextRunAsync();
        var retried = await Scene.NextRunAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(said, Does.Contain("started before"));
            Assert.That(retried.Context.RetryAttempt, Is.EqualTo(1), "a refusal uses up no retry");
        }
    }

    [Test]
    public async Task Never_skips_what_was_put_back_because_it_had_begun([Values] Store store)
    {
        var node = await StartNodeAsync(store);
        var others = await OthersHoldAsync();

        await node.RunAsync<SkippingJob>(Scene, static trigger => trigger.UsingJobData(DataKeys.StartedBefore, "true"));
        await node.Told.NextPutBackAsync();
        var again = await node.Told.NextPutBackAsync();
        await others.DisposeAsync();
        await Scene.NextRunAsync();

        Assert.That(again.JobDataMap[DataKeys.StartedBefore], Is.EqualTo("true"));
    }

    [Test]
    public async Task Tries_a_recovered_run_again_and_never_skips_it()
    {
        var first = await StartNodeAsync(Store.Ado);
        Scene.Act = static run => run.UntilToldAsync();
        await first.RunAsync<SkippingJob>(Scene, job: static job => job.RequestRecovery());
        var run = await Scene.NextRunAsync();
        await first.Scheduler.Shutdown(waitForJobsToComplete: false);

        // The node has gone, but its run works on: only the lock knows that.
        var second = await StartNodeAsync(Store.Ado);
        var next = await second.Told.NextPutBackAsync();
        run.Leave();
        var again = await Scene.NextRunAsync();
        again.Leave();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(again.Context.Recovering, Is.True);
            Assert.That(again.Context.Trigger.Key, Is.EqualTo(next.Key));
            Assert.That(Scene.MostAtOnce, Is.EqualTo(1));
        }

        await second.IsIdleAsync();
        await EndAsync(first);
    }

    [Test]
    public async Task Leaves_a_run_refused_during_shutdown_to_another_node()
    {
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var mayGoOn = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var first = await StartNodeAsync(Store.Ado);
        first.JobStore.Fired = async _ =>
        {
            asked.TrySetResult();
            await mayGoOn.Task;
        };
        var others = await OthersHoldAsync();
        await first.RunAsync<ReschedulingJob>(Scene);
        await asked.Task.Soon();

        var shutdown = first.Scheduler.Shutdown(waitForJobsToComplete: true).AsTask();
        await Eventually.IsTrue(() => Task.FromResult(first.Scheduler.Status == SchedulerStatus.ShuttingDown), "the shutdown");
        mayGoOn.SetResult();
        await shutdown.Soon();
        var second = await StartNodeAsync(Store.Ado);
        await others.DisposeAsync();
        await Scene.NextRunAsync();
        await second.IsIdleAsync();

        Assert.That(Scene.Begun, Is.EqualTo(1));
        await EndAsync(first);
    }

    [Test]
    public async Task Lets_one_run_at_a_time_through_on_two_nodes_and_loses_none()
    {
        const int Count = 30;
        var nodes = new[] { await StartNodeAsync(Store.Ado), await StartNodeAsync(Store.Ado) };
        Scene.Act = static async _ => await Task.Yield();

        foreach (var i in Enumerable.Range(0, Count)) await nodes[i % 2].RunAsync<ReschedulingJob>(Scene);
        foreach (var _ in Enumerable.Range(0, Count)) await Scene.NextRunAsync();
        foreach (var node in nodes) await node.IsIdleAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(Scene.MostAtOnce, Is.EqualTo(1));
            Assert.That(Scene.Begun, Is.EqualTo(Count));
        }
    }

    private async Task<Run> RunOfAsync(TriggerKey trigger)
    {
        while (true)
        {
            var run = await Scene.NextRunAsync();
            if (run.Context.Trigger.Key.Equals(trigger)) return run;
        }
    }
}
