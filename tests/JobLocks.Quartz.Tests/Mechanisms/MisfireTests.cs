using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>To be put off for longer than the misfire threshold is no misfire: the trigger fired in time.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class MisfireTests : MechanismFixture
{
    // Longer than a busy machine takes to fire what is due.
    private static readonly TimeSpan Threshold = TimeSpan.FromSeconds(3);

    [Test]
    public async Task Is_no_misfire_however_long_it_is_put_off([Values] Store store, [Values] PutOff how)
    {
        var run = await PutOffForLongAsync(store, how, static _ => { });

        Assert.That(run.Context.ScheduledFireTimeUtc, Is.EqualTo(Start));
    }

    [Test]
    public async Task Is_not_dropped_by_the_misfire_instruction_of_a_repeating_trigger([Values] Store store, [Values] PutOff how)
    {
        var run = await PutOffForLongAsync(store, how, static trigger => trigger.WithSimpleSchedule(static simple => simple
            .WithInterval(TimeSpan.FromHours(1)).RepeatForever().WithMisfireInstruction(SimpleTriggerMisfireInstruction.NextWithExistingCount)));

        Assert.That(run.Context.ScheduledFireTimeUtc, Is.EqualTo(Start));
    }

    [Test]
    public async Task Is_not_dropped_by_the_misfire_instruction_of_a_cron_trigger([Values] Store store, [Values] PutOff how)
    {
        var run = await PutOffForLongAsync(store, how, trigger => SetCron(trigger, CronTriggerMisfireInstruction.DoNothing));

        Assert.That(run.Context.ScheduledFireTimeUtc, Is.EqualTo(Start));
    }

    private async Task<Run> PutOffForLongAsync(Store store, PutOff how, Action<TriggerBuilder<IJob>> set)
    {
        var node = await StartWatchedAsync(store, static settings => settings with { MisfireThreshold = Threshold });
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how), trigger => set(trigger.StartAt(StartSoon()).WithMisfireThreshold(Threshold)));
        await IsPutOffAsync(node, how);
        await PassAsync(2.5 * Threshold);

        await others.DisposeAsync();
        var run = await RunEndsAsync(node);
        await NothingElseComesAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(run.Context.Trigger.Key, Is.EqualTo(Mine));
            Assert.That(node.Heard.Count("TriggerMisfired"), Is.Zero);
            Assert.That(await node.MisfiresAsync(), Is.Empty);
            Assert.That(Scene.Begun, Is.EqualTo(1));
        }

        return run;
    }
}
