using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>Retry policies of the trigger, the job and the scheduler: a refusal uses up no attempt.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class RetryTests : MechanismFixture
{
    public enum Policy
    {
        OfTheTrigger,
        OfTheJob,
        OfTheScheduler,
    }

    [Test, Pairwise]
    public async Task Retries_a_run_that_fails_after_it_was_put_off_with_the_first_attempt([Values] Store store, [Values] PutOff how, [Values] Policy policy)
    {
        var node = await StartWatchedAsync(store, settings => policy == Policy.OfTheScheduler
            ? settings with { Before = static quartz => quartz.UseDefaultRetryPolicy(Once()) }
            : settings);
        var others = await OthersHoldAsync();
        Scene.Act = static run => run.Context.RetryAttempt == 0 ? throw new JobExecutionException("This job throws once.") : Task.CompletedTask;
        await ScheduleAsync(node, TypeOf(policy, how), trigger =>
        {
            if (policy == Policy.OfTheTrigger) trigger.WithRetryPolicy(Once());
        });
        await IsPutOffAsync(node, how);

        await others.DisposeAsync();
        var runs = new[] { await Scene.NextRunAsync(), await Scene.NextRunAsync() };
        await Eventually.IsTrue(() => Task.FromResult(node.Heard.Count("JobWasExecuted") >= 2), "the end of the retry");
        await node.Node.IsIdleAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(runs.Select(static run => run.Context.RetryAttempt), Is.EqualTo([0, 1]));
            Assert.That(runs.Select(static run => run.Context.Trigger.Key), Is.All.EqualTo(Mine));
            Assert.That(node.Heard.Lines.Where(static line => line.StartsWith("JobWasExecuted", StringComparison.Ordinal)), Is.EqualTo(new[]
            {
                $"JobWasExecuted {Mine} {MyJob} {ExecutionOutcome.Failed} 0", $"JobWasExecuted {Mine} {MyJob} {ExecutionOutcome.Succeeded} 1",
            }));
        }
    }

    [Test]
    public async Task Puts_a_retry_off_without_using_up_its_attempt([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        Scene.Act = static run => run.Context.RetryAttempt == 0 ? throw new JobExecutionException("This job throws once.") : Task.CompletedTask;
        await ScheduleAsync(node, JobType(how), static trigger => trigger.WithRetryPolicy(RetryPolicy.Fixed(1, TimeSpan.FromSeconds(2))));
        await Scene.NextRunAsync();
        var others = await Others.AcquireAsync(Scene.LockName, Eventually.Patience);
        await IsPutOffAsync(node, how);
        var attempt = (await node.Scheduler.GetTrigger(Mine))?.RetryAttempt;

        await others.DisposeAsync();
        var retried = await Scene.NextRunAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(attempt, Is.EqualTo(1), "the attempt in the store while the retry is put off");
            Assert.That(retried.Context.RetryAttempt, Is.EqualTo(1));
            Assert.That(retried.Context.Trigger.Key, Is.EqualTo(Mine));
            Assert.That(retried.Context.ScheduledFireTimeUtc, Is.Not.Null);
        }
    }

    [Test]
    public async Task Pauses_its_own_trigger_where_the_retries_of_a_run_that_was_put_off_are_exhausted([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store, static settings => settings with { Before = static quartz => quartz.PauseTriggerWhenRetriesExhausted() });
        var others = await OthersHoldAsync();
        Scene.Act = static _ => throw new JobExecutionException("This job throws.");
        await ScheduleAsync(
            node, JobType(how), static trigger => trigger.WithSimpleSchedule(TimeSpan.FromHours(1)).WithRetryPolicy(RetryPolicy.Fixed(1, TimeSpan.FromSeconds(1))));
        await IsPutOffAsync(node, how);

        await others.DisposeAsync();
        await Scene.NextRunAsync();
        await Scene.NextRunAsync();

        await Eventually.IsTrueOf(async () => await node.Scheduler.GetTriggerState(Mine), static state => state == TriggerState.Paused, "the state of the trigger");
    }

    private static RetryPolicy Once() => RetryPolicy.Fixed(1, TimeSpan.FromSeconds(1));

    private static Type TypeOf(Policy policy, PutOff how) => policy == Policy.OfTheJob
        ? how == PutOff.Wait ? typeof(WaitingRetriedJob) : typeof(ReschedulingRetriedJob)
        : JobType(how);
}
