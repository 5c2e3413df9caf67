using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;
using Microsoft.Extensions.Logging;

namespace JobLocks.Hangfire.Tests;

/// <summary>A run that makes a job which needs its own lock.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class SelfWaitTests : RealServers
{
    private readonly LogJournal _log = new();

    private protected override HangfireSetup Setup => new() { Loggers = _log };

    [OneTimeTearDown]
    public void End() => _log.Dispose();

    [Test]
    public async Task Warns_of_a_run_that_waits_for_its_own_job_which_ends_by_its_longest_wait(CancellationToken stop)
    {
        var stage = NewStage();
        var parent = Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.RunAndMake(stage.Id, null!));
        await stage.EnteredAsync(stop);

        var warning = await _log.NextAsync($"Hangfire job {parent} still holds {stage.LockName}, 5 s after it created job ", stop);
        var child = warning.Text.Split(" after it created job ")[1].Split(',')[0];
        var failed = await Servers.States.NextAsync<FailedState>(child, stop);
        stage.LetLeave();
        await Servers.States.NextAsync<SucceededState>(parent, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(warning.Level, Is.EqualTo(LogLevel.Warning));
            Assert.That(failed.Reason, Does.StartWith($"Failed: it waited for 1 s, as long as it may; {stage.LockName} is held by "));
            Assert.That(stage.Runs, Is.EqualTo(1));
            Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
        }
    }
}
