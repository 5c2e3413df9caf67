using Hangfire;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>Whether the runs of a storage are found and woken.</summary>
[TestFixture]
public sealed class EnqueuedAnewTests : RealServers
{
    [Test, CancelAfter(60_000)]
    public async Task Is_replaced_for_no_run_that_was_deleted_and_enqueued_anew(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        var held = await other.TryAcquireAsync(stage.LockName, stop);
        var waiting = await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.RunOrReplace(stage.Id, 1)), stop);

        Servers.Client.Delete(waiting);
        var anew = await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.RunOrReplace(stage.Id, 1)), stop);
        await held!.DisposeAsync();

        await Servers.States.NextAsync<SucceededState>(anew, stop);
        Assert.That(stage.Runs, Is.EqualTo(1));
    }
}
