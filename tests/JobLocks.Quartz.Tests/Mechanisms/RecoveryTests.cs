using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>Jobs that request recovery, and nodes that go while a run is put off.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class RecoveryTests : MechanismFixture
{
    [Test]
    public async Task Runs_once_and_as_no_recovery_where_its_node_went_while_it_was_put_off([Values] PutOff how, [Values] bool requestsRecovery)
    {
        var first = await StartWatchedAsync(Store.Ado);
        var others = await OthersHoldAsync();
        await ScheduleAsync(first, JobType(how), job: job => job.RequestRecovery(requestsRecovery));
        await IsPutOffAsync(first, how);
        await EndAsync(first.Node);

        var second = await StartWatchedAsync(Store.Ado);
        await others.DisposeAsync();
        var run = await RunEndsAsync(second);
        await NothingElseComesAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(run.Context.Trigger.Key, Is.EqualTo(Mine));
            Assert.That(run.Context.Recovering, Is.False);
            Assert.That(run.Context.ScheduledFireTimeUtc, Is.EqualTo(Start));
            Assert.That(Scene.Begun, Is.EqualTo(1));
        }
    }

    [Test]
    public async Task Is_recovered_under_its_own_trigger_where_its_node_went_while_it_ran_and_the_recovery_is_put_off([Values] PutOff how, [Values] bool wasPutOffBefore)
    {
        var first = await StartWatchedAsync(Store.Ado);
        Scene.Act = static run => run.UntilToldAsync();
        var others = wasPutOffBefore ? await OthersHoldAsync() : null;
        await ScheduleAsync(first, JobType(how), job: static job => job.RequestRecovery());
        if (others is not null)
        {
            await IsPutOffAsync(first, how);
            await others.DisposeAsync();
        }

        var run = await Scene.NextRunAsync();
        await first.Scheduler.Shutdown(waitForJobsToComplete: false);

        // The node has gone, but its run works on: the recovery meets its lock.
        var second = await StartWatchedAsync(Store.Ado);
        await IsPutOffAsync(second, how);
        var early = second.Heard.Lines;
        run.Leave();
        var again = await Scene.NextRunAsync();
        again.Leave();
        await second.Node.Told.NextEndAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(early, Has.None.StartsWith("TriggerFired"), "notifications while the recovery is put off");
            Assert.That(again.Context.Recovering, Is.True);
            Assert.That(again.Context.RecoveringTriggerKey, Is.EqualTo(Mine));
            Assert.That(again.Context.Trigger.Key.Group, Is.EqualTo(SchedulerConstants.DefaultRecoveryGroup));
            Assert.That(Scene.MostAtOnce, Is.EqualTo(1));
        }

        await second.Node.IsIdleAsync();
        await EndAsync(first.Node);
    }
}
