using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>A run that fails for its lock fails as any run does that throws.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class FailTests : MechanismFixture
{
    [Test]
    public async Task Ends_as_a_failure_with_the_conflict_for_its_cause([Values] Store store, [Values(typeof(FailingJob), typeof(BriefJob))] Type job)
    {
        var node = await StartWatchedAsync(store);
        await using var others = await OthersHoldAsync();

        await ScheduleAsync(node, job);
        var (context, thrown) = await node.Node.Told.NextEndAsync();
        var error = await node.Node.Told.NextErrorAsync();
        await node.Node.IsIdleAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(Causes(thrown), Has.Some.TypeOf<JobLockConflictException>());
            Assert.That(Causes(error.Exception), Has.Some.TypeOf<JobLockConflictException>());
            Assert.That((error.TriggerKey, error.JobKey), Is.EqualTo((Mine, MyJob)));
            Assert.That(context.Outcome, Is.EqualTo(ExecutionOutcome.Failed));
            Assert.That(context.Trigger.Key, Is.EqualTo(Mine));
            Assert.That(node.Heard.Count("JobExecutionVetoed"), Is.Zero);
            Assert.That(node.Heard.Lines, Has.One.EqualTo($"TriggerComplete {Mine} {SchedulerInstruction.DeleteTrigger}"));
            Assert.That(await node.Scheduler.Exists(Mine), Is.False);
            Assert.That(Scene.Begun, Is.Zero);
        }
    }

    [Test]
    public async Task Is_retried_by_the_policy_of_its_trigger([Values] Store store)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();

        await ScheduleAsync(node, typeof(FailingJob), static trigger => trigger.WithRetryPolicy(RetryPolicy.Fixed(3, TimeSpan.FromSeconds(1))));
        var (context, _) = await node.Node.Told.NextEndAsync();
        await others.DisposeAsync();
        await NothingIsHeldAsync();
        var run = await Scene.NextRunAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(context.RetryScheduled, Is.True);
            Assert.That(run.Context.RetryAttempt, Is.EqualTo(1));
            Assert.That(run.Context.Trigger.Key, Is.EqualTo(Mine));
        }
    }

    private static IEnumerable<Exception> Causes(Exception? thrown)
    {
        for (; thrown is not null; thrown = thrown.InnerException) yield return thrown;
    }
}
