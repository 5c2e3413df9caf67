using JobLocks.Quartz.Tests.Support;

namespace JobLocks.Quartz.Tests;

/// <summary>How long a run waits, and how many do.</summary>
[TestFixture]
public sealed class WaitRulesTests : QuartzFixture
{
    [Test, CancelAfter(60_000)]
    public async Task Drops_a_run_that_has_waited_for_as_long_as_it_may_and_says_so([Values] Store store)
    {
        var node = await StartNodeAsync(store);
        await using var others = await OthersHoldAsync();

        var brief = await node.RunAsync<BriefJob>(Scene);
        var error = await node.Told.NextErrorAsync();
        await node.IsIdleAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error.Exception.InnerException!.Message, Does.Contain($"Failed: it waited for 1 s, as long as it may; {Scene.LockName} is held by others "));
            Assert.That(error.TriggerKey, Is.EqualTo(brief.Key));
            Assert.That(await node.Scheduler.Exists(brief.Key), Is.False);
            Assert.That(Scene.Begun, Is.Zero);
            Assert.That(await LineAsync(), Is.Zero);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Skips_a_further_run_where_one_that_waits_will_see_its_change_too([Values] Store store)
    {
        var node = await StartNodeAsync(store);
        var others = await OthersHoldAsync();
        await node.RunAsync<JoiningJob>(Scene);
        await ParkedAsync(1);

        var further = await node.RunAsync<JoiningJob>(Scene);
        var skipped = await node.Told.NextVetoAsync();
        var line = await LineAsync();
        await others.DisposeAsync();
        await Scene.NextRunAsync();
        await node.IsIdleAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(skipped.Trigger.Key, Is.EqualTo(further.Key));
            Assert.That(line, Is.EqualTo(1));
            Assert.That(Scene.Begun, Is.EqualTo(1));
            Assert.That(await LineAsync(), Is.Zero);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Skips_the_oldest_that_waits_where_the_newest_is_kept([Values] Store store)
    {
        var node = await StartNodeAsync(store);
        var others = await OthersHoldAsync();
        await node.RunAsync<ReplacingJob>(Scene, static trigger => trigger.UsingJobData("number", 1));
        await ParkedAsync(1);

        await node.RunAsync<ReplacingJob>(Scene, static trigger => trigger.UsingJobData("number", 2));
        var replaced = await node.Told.NextVetoAsync();
        await ParkedAsync(1);
        await others.DisposeAsync();
        var run = await Scene.NextRunAsync();
        await node.IsIdleAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(replaced.MergedJobDataMap["number"], Is.EqualTo(1));
            Assert.That(await node.Scheduler.Exists(replaced.Trigger.Key), Is.False);
            Assert.That(run.Context.MergedJobDataMap["number"], Is.EqualTo(2));
            Assert.That(Scene.Begun, Is.EqualTo(1));
            Assert.That(await LineAsync(), Is.Zero);
        }
    }
}
