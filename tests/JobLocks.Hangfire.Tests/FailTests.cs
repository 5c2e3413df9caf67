using Hangfire;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

[TestFixture]
public sealed class FailTests : RealServers
{
    [Test, CancelAfter(60_000)]
    public async Task Fails_the_run_when_another_server_holds_the_lock(CancellationToken stop)
    {
        var stage = NewStage();
        Servers.EnqueueFor<SyncJob>(Servers[0], job => job.RunOrFail(stage.Id));
        await stage.EnteredAsync(stop);

        var refused = Servers.EnqueueFor<SyncJob>(Servers[1], job => job.RunOrFail(stage.Id));
        var end = await Servers.States.NextAsync<FailedState>(refused, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(end.Exception, Is.TypeOf<JobLockConflictException>());
            Assert.That(end.Exception.Message, Does.Match(@$"^Failed: sync\({stage.Id}\) is held by server-0 \(backend \d+ from [\d.:]+\), connected since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\dZ$"));
            Assert.That(end.Reason, Is.EqualTo(end.Exception.Message));
            Assert.That(end.SerializeData()["ExceptionType"], Is.EqualTo("JobLocks.JobLockConflictException"));
            Assert.That(stage.Runs, Is.EqualTo(1));
            Assert.That(await Servers.Locks.IsHeldAsync(stage.LockName), Is.True);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Leaves_it_to_Hangfires_own_rules_whether_to_try_again(CancellationToken stop)
    {
        var stage = NewStage();
        await using var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);

        var refused = Servers.EnqueueFor<SyncJob>(Servers[0], job => job.RunOrFailByHangfiresRules(stage.Id));
        var retry = await Servers.States.NextAsync<ScheduledState>(refused, stop);
        var retries = await Patience.UntilAsync(() => Task.FromResult(Servers.Parameter(refused, "RetryCount")), static count => count is not null, stop);
        Servers.Client.Delete(refused);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(retry.Reason, Does.StartWith($"Retry attempt 1 of 10: Failed: sync({stage.Id[..8]}"));
            Assert.That(retries, Is.EqualTo("1"));
            Assert.That(stage.Runs, Is.Zero);
        }
    }
}
