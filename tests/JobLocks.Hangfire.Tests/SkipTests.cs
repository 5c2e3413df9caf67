using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

[TestFixture]
public sealed class SkipTests : RealServers
{
    [Test, CancelAfter(60_000)]
    public async Task Skips_the_run_when_another_server_holds_the_lock(CancellationToken stop)
    {
        var stage = NewStage();
        var held = Servers.EnqueueFor<SyncJob>(Servers[0], job => job.RunOrSkip(stage.Id));
        await stage.EnteredAsync(stop);

        var refused = Servers.EnqueueFor<SyncJob>(Servers[1], job => job.RunOrSkip(stage.Id));
        var end = await Servers.States.NextAsync<DeletedState>(refused, stop);
        var heldMeanwhile = await Servers.Locks.IsHeldAsync(stage.LockName);
        stage.LetLeave();
        await Servers.States.NextAsync<SucceededState>(held, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(end.Reason, Does.Match(@$"^Skipped: sync\({stage.Id}\) is held by server-0 \(backend \d+ from [\d.:]+\), connected since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\dZ$"));
            Assert.That(heldMeanwhile, Is.True);
            Assert.That(stage.Runs, Is.EqualTo(1));
            Assert.That(await Servers.Locks.IsFreeAtLastAsync(stage.LockName, stop), Is.True);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Skips_the_run_when_a_run_of_the_same_server_holds_the_lock_and_names_it(CancellationToken stop)
    {
        var stage = NewStage();
        var held = Servers.EnqueueFor<SyncJob>(Servers[0], job => job.RunOrSkip(stage.Id));
        await stage.EnteredAsync(stop);

        var refused = Servers.EnqueueFor<SyncJob>(Servers[0], job => job.RunOrSkip(stage.Id));
        var end = await Servers.States.NextAsync<DeletedState>(refused, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(end.Reason, Does.Match(@$"^Skipped: sync\({stage.Id}\) is held by Hangfire job {held} on server-0 since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\dZ$"));
            Assert.That(stage.Runs, Is.EqualTo(1));
            Assert.That(await Servers.Locks.IsHeldAsync(stage.LockName), Is.True);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Skips_the_run_when_code_elsewhere_holds_the_lock(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);

        var refused = Servers.EnqueueFor<SyncJob>(Servers[0], job => job.RunOrSkip(stage.Id));
        var end = await Servers.States.NextAsync<DeletedState>(refused, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(end.Reason, Does.StartWith($"Skipped: {stage.LockName} is held by server-1 (backend "));
            Assert.That(stage.Runs, Is.Zero);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Runs_the_next_one_once_the_lock_is_free(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();

        for (var run = 1; run <= 3; run++)
        {
            var id = Servers.EnqueueFor<SyncJob>(Servers[run % 2], job => job.RunOrSkip(stage.Id));
            await Servers.States.NextAsync<SucceededState>(id, stop);

            Assert.That(await Servers.Locks.IsFreeAtLastAsync(stage.LockName, stop), Is.True);
        }

        Assert.That(stage.Runs, Is.EqualTo(3));
    }

    [Test, CancelAfter(60_000)]
    public async Task Keeps_the_reason_where_people_look_for_it(CancellationToken stop)
    {
        var stage = NewStage();
        await using var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);

        var refused = Servers.EnqueueFor<SyncJob>(Servers[0], job => job.RunOrSkip(stage.Id));
        await Servers.States.NextAsync<DeletedState>(refused, stop);
        var details = await Servers.StoredAsync(refused, DeletedState.StateName, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(
                details.History.Select(static state => state.StateName),
                Is.EqualTo([DeletedState.StateName, DeletedState.StateName, ProcessingState.StateName, EnqueuedState.StateName]));
            Assert.That(details.History[0].Reason, Does.StartWith("Skipped: "));
            Assert.That(details.History[1].Reason, Is.EqualTo("Canceled by filter 'JobLockAttribute'"));
        }
    }
}
