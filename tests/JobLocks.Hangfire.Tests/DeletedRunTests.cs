using Hangfire;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>A job that somebody deletes while it runs.</summary>
[TestFixture]
public sealed class DeletedRunTests : RealServers
{
    [Test, CancelAfter(60_000)]
    public async Task Keeps_the_lock_until_the_method_has_really_ended(CancellationToken stop)
    {
        var stage = NewStage();
        var deleted = Servers.EnqueueFor<SyncJob>(Servers[0], job => job.RunOrSkip(stage.Id));
        await stage.EnteredAsync(stop);

        Servers.Client.Delete(deleted);
        var refused = Servers.EnqueueFor<SyncJob>(Servers[1], job => job.RunOrSkip(stage.Id));
        await Servers.States.NextAsync<DeletedState>(refused, stop);
        stage.LetLeave();
        await stage.LeftAsync(stop);
        var isFree = await Servers.Locks.IsFreeAtLastAsync(stage.LockName, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(stage.Runs, Is.EqualTo(1));
            Assert.That(isFree, Is.True);
            Assert.That((await Servers.StoredAsync(deleted, DeletedState.StateName, stop)).History[0].StateName, Is.EqualTo(DeletedState.StateName));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Frees_the_lock_when_the_method_heeds_its_token(CancellationToken stop)
    {
        var stage = NewStage();
        var deleted = Servers.Enqueue<SyncJob>(job => job.RunUntilStopped(stage.Id, CancellationToken.None));
        await stage.EnteredAsync(stop);

        Servers.Client.Delete(deleted);
        await stage.LeftAsync(stop);

        Assert.That(await Servers.Locks.IsFreeAtLastAsync(stage.LockName, stop), Is.True);
    }
}
