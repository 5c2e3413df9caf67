using Hangfire;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>A continuation of a job that a person deletes, with and without locks.</summary>
[TestFixture(true), TestFixture(false)]
public sealed class ContinuationOfDeletedTests(bool isLocked) : RealServers
{
    private protected override HangfireSetup Setup => new() { UsesJobLocks = isLocked };

    [Test, CancelAfter(60_000)]
    public async Task Runs_after_a_parent_that_is_deleted_while_it_runs(CancellationToken stop)
    {
        var (parent, child) = (NewStage(), NewStage());
        child.LetLeave();

        var first = Start(parent);
        await parent.EnteredAsync(stop);
        var second = Continue(first, child);
        Servers.Client.Delete(first);
        await Servers.States.NextAsync<SucceededState>(second, stop);

        Assert.That(child.Runs, Is.EqualTo(1));
    }

    [Test, CancelAfter(60_000)]
    public async Task Runs_after_a_parent_that_is_deleted_while_it_is_scheduled(CancellationToken stop)
    {
        var (parent, child) = (NewStage(), NewStage());
        child.LetLeave();
        string first;
        if (isLocked)
        {
            first = (await HoldAndWaitAsync(parent, stop)).Waiting;
        }
        else
        {
            first = Servers.Client.Schedule<SyncJob>(job => job.RunUnlocked(parent.Id), TimeSpan.FromHours(1));
        }

        var second = Continue(first, child);
        var isDeleted = Servers.Client.ChangeState(first, new DeletedState(), ScheduledState.StateName);
        await Servers.States.NextAsync<SucceededState>(second, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(isDeleted, Is.True);
            Assert.That(child.Runs, Is.EqualTo(1));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Runs_after_a_parent_that_is_deleted_while_it_awaits_another(CancellationToken stop)
    {
        var (first, parent, child) = (NewStage(), NewStage(), NewStage());
        child.LetLeave();

        var running = Start(first);
        await first.EnteredAsync(stop);
        var awaiting = Continue(running, parent);
        var last = Continue(awaiting, child);
        var isDeleted = Servers.Client.ChangeState(awaiting, new DeletedState(), AwaitingState.StateName);
        await Servers.States.NextAsync<SucceededState>(last, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(isDeleted, Is.True);
            Assert.That(child.Runs, Is.EqualTo(1));
            Assert.That(parent.Runs, Is.Zero);
        }
    }

    private string Start(Stage stage) => isLocked
        ? Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id))
        : Servers.Enqueue<SyncJob>(job => job.RunUnlocked(stage.Id));

    private string Continue(string parent, Stage stage) => isLocked
        ? Servers.Client.ContinueJobWith<WaitingJob>(parent, job => job.Run(stage.Id), options: JobContinuationOptions.OnAnyFinishedState)
        : Servers.Client.ContinueJobWith<SyncJob>(parent, job => job.RunUnlocked(stage.Id), options: JobContinuationOptions.OnAnyFinishedState);
}
