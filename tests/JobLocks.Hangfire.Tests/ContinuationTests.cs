using Hangfire;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

[TestFixture]
public sealed class ContinuationTests : RealServers
{
    [Test, CancelAfter(60_000)]
    public async Task Waits_for_the_rescheduled_run_to_have_really_happened(CancellationToken stop)
    {
        var (parent, child) = (NewStage(), NewStage());
        child.LetLeave();
        await using var held = await Servers[1].Locks!.TryAcquireAsync(parent.LockName, stop);

        var first = Servers.Enqueue<SyncJob>(job => job.RunSoon(parent.Id));
        var second = Servers.Client.ContinueJobWith<SyncJob>(first, job => job.RunUnlocked(child.Id), options: JobContinuationOptions.OnAnyFinishedState);
        await Servers.States.NextAsync<ScheduledState>(first, stop, nth: 2);
        var statesOfTheWaiting = Servers.States.NamesOf(second);
        await held!.DisposeAsync();
        await parent.EnteredAsync(stop);
        var runsMeanwhile = child.Runs;
        parent.LetLeave();
        await Servers.States.NextAsync<SucceededState>(second, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(statesOfTheWaiting, Is.EqualTo([AwaitingState.StateName]));
            Assert.That(runsMeanwhile, Is.Zero);
            Assert.That(child.Runs, Is.EqualTo(1));
            Assert.That(parent.Runs, Is.EqualTo(1));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Waits_until_the_waiting_run_has_really_executed(CancellationToken stop)
    {
        var (parent, child) = (NewStage(), NewStage());
        child.LetLeave();
        var held = await Servers[1].Locks!.TryAcquireAsync(parent.LockName, stop);

        var first = Servers.Enqueue<WaitingJob>(job => job.Run(parent.Id));
        var second = Servers.Client.ContinueJobWith<SyncJob>(first, job => job.RunUnlocked(child.Id), options: JobContinuationOptions.OnAnyFinishedState);
        await Servers.ParkedAsync(first, stop);
        await held!.DisposeAsync();
        await parent.EnteredAsync(stop);
        var statesMeanwhile = Servers.States.NamesOf(second);
        parent.LetLeave();
        await Servers.States.NextAsync<SucceededState>(second, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(statesMeanwhile, Is.EqualTo([AwaitingState.StateName]));
            Assert.That(child.Runs, Is.EqualTo(1));
            Assert.That(parent.Runs, Is.EqualTo(1));
            Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_deleted_with_the_skipped_run_when_it_needed_its_success(CancellationToken stop)
    {
        var (parent, child) = (NewStage(), NewStage());
        await using var held = await Servers[1].Locks!.TryAcquireAsync(parent.LockName, stop);

        var first = Servers.Client.Schedule<SyncJob>(job => job.RunOrSkip(parent.Id), TimeSpan.FromHours(1));
        var second = Servers.Client.ContinueJobWith<SyncJob>(first, job => job.RunUnlocked(child.Id));
        Servers.Client.Requeue(first);
        await Servers.States.NextAsync<DeletedState>(first, stop);
        // Hangfire moves children past the filters of a server, so nobody announces it.
        var end = await Servers.StoredAsync(second, DeletedState.StateName, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(end.History[0].StateName, Is.EqualTo(DeletedState.StateName));
            Assert.That(parent.Runs + child.Runs, Is.Zero);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Runs_after_the_skipped_run_when_any_end_will_do(CancellationToken stop)
    {
        var (parent, child) = (NewStage(), NewStage());
        child.LetLeave();
        await using var held = await Servers[1].Locks!.TryAcquireAsync(parent.LockName, stop);

        var first = Servers.Client.Schedule<SyncJob>(job => job.RunOrSkip(parent.Id), TimeSpan.FromHours(1));
        var second = Servers.Client.ContinueJobWith<SyncJob>(first, job => job.RunUnlocked(child.Id), options: JobContinuationOptions.OnAnyFinishedState);
        Servers.Client.Requeue(first);
        await Servers.States.NextAsync<SucceededState>(second, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(Servers.States.NamesOf(first)[^1], Is.EqualTo(DeletedState.StateName));
            Assert.That(parent.Runs, Is.Zero);
            Assert.That(child.Runs, Is.EqualTo(1));
        }
    }
}
