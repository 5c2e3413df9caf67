using JobLocks.Quartz.Tests.Support;
using Microsoft.Extensions.Logging;

namespace JobLocks.Quartz.Tests;

/// <summary>A run that makes a job which needs its own lock.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class SelfWaitTests : QuartzFixture
{
    [Test]
    public async Task Warns_of_a_run_that_waits_for_its_own_job_which_ends_by_its_longest_wait([Values] Store store)
    {
        using var log = new LogLines();
        var node = await StartNodeAsync(store, settings => settings with { Loggers = log });
        Scene.Act = async run =>
        {
            await node.RunAsync<BriefJob>(Scene, job: static job => job.WithIdentity("child"));
            await run.UntilToldAsync();
        };
        var parent = await node.RunAsync<WaitingJob>(Scene, job: static job => job.WithIdentity("parent"));
        var run = await Scene.NextRunAsync();

        var warning = await log.NextAsync($"{Scene.LockName}, 5 s after it created job DEFAULT.child").Soon();
        var error = await node.Told.NextErrorAsync();
        run.Leave();
        await node.IsIdleAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(warning, Does.StartWith($"{LogLevel.Warning} Quartz job {parent.JobKey} fired "));
            Assert.That(error.Exception.InnerException!.Message, Does.Contain($"Failed: it waited for 1 s, as long as it may; {Scene.LockName} is held by Quartz job {parent.JobKey} fired "));
            Assert.That(Scene.Begun, Is.EqualTo(1));
            Assert.That(await LineAsync(), Is.Zero);
        }
    }

    [Test]
    public async Task Says_nothing_of_a_run_that_ends_before_its_own_job_begins([Values] Store store)
    {
        using var log = new LogLines();
        var node = await StartNodeAsync(store, settings => settings with { Loggers = log });
        Scene.Act = run => string.Equals(run.Context.JobDetail.Key.Name, "parent", StringComparison.Ordinal) ? node.RunAsync<WaitingJob>(Scene, job: static job => job.WithIdentity("child")) : Task.CompletedTask;
        await node.RunAsync<WaitingJob>(Scene, job: static job => job.WithIdentity("parent"));
        await Scene.NextRunAsync();
        await Scene.NextRunAsync();
        await node.IsIdleAsync();
        // A run that is watched for longer, so that the first would have been told of by now.
        Scene.Act = async run =>
        {
            if (!string.Equals(run.Context.JobDetail.Key.Name, "last", StringComparison.Ordinal)) return;

            await node.RunAsync<WaitingJob>(Scene);
            await log.NextAsync(", 5 s after it created job ").Soon();
        };
        await node.RunAsync<WaitingJob>(Scene, job: static job => job.WithIdentity("last"));
        await Scene.NextRunAsync();
        await Scene.NextRunAsync();

        Assert.That(log.All.Where(static line => line.Contains(" after it created job ", StringComparison.Ordinal)), Has.Exactly(1).Items.And.All.Contains("DEFAULT.last"));
    }
}
