using Hangfire;
using Hangfire.States;
using Hangfire.Storage;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

[TestFixture]
public sealed class RecurringJobTests : RealServers
{
    private const string EachSecond = "* * * * * *";

    [TearDown]
    public void Ends()
    {
        using var connection = Servers[0].Storage.GetConnection();
        foreach (var recurring in connection.GetRecurringJobs()) Servers[0].Recurring.RemoveIfExists(recurring.Id);
    }

    [Test, CancelAfter(60_000)]
    public async Task Keeps_its_next_execution_when_an_occurrence_is_rescheduled(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        Servers[0].Recurring.AddOrUpdate<SyncJob>(stage.Id, job => job.RunSoon(stage.Id), Cron.Yearly);
        var next = NextExecution(stage);
        await using var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);

        var refused = Servers[0].Recurring.TriggerJob(stage.Id);
        await Servers.States.NextAsync<ScheduledState>(refused, stop);
        var nextMeanwhile = NextExecution(stage);
        await held!.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(refused, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(nextMeanwhile, Is.Not.Null.And.EqualTo(next));
            Assert.That(NextExecution(stage), Is.EqualTo(next));
            Assert.That(stage.Runs, Is.EqualTo(1));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Keeps_its_next_execution_when_an_occurrence_waits(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        Servers[0].Recurring.AddOrUpdate<WaitingJob>(stage.Id, job => job.Run(stage.Id), Cron.Yearly);
        var next = NextExecution(stage);
        var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);

        var waiting = await Servers.ParkedAsync(Servers[0].Recurring.TriggerJob(stage.Id), stop);
        var nextMeanwhile = NextExecution(stage);
        await held!.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(waiting, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(nextMeanwhile, Is.Not.Null.And.EqualTo(next));
            Assert.That(NextExecution(stage), Is.EqualTo(next));
            Assert.That(stage.Runs, Is.EqualTo(1));
            Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Goes_on_by_its_schedule_while_occurrences_are_skipped(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);

        Servers[0].Recurring.AddOrUpdate<SyncJob>(stage.Id, job => job.RunOrSkip(stage.Id), EachSecond);
        var first = await Servers.States.NextAsync<DeletedState>(stage, stop);
        var second = await Servers.States.NextAsync<DeletedState>(stage, stop, nth: 2);
        var runsMeanwhile = stage.Runs;
        await held!.DisposeAsync();
        var third = await Servers.States.NextAsync<SucceededState>(stage, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(new[] { first.JobId, second.JobId, third.JobId }, Is.Unique);
            Assert.That(runsMeanwhile, Is.Zero);
            Assert.That(stage.Runs, Is.Positive);
        }
    }

    private DateTime? NextExecution(Stage stage)
    {
        using var connection = Servers[0].Storage.GetConnection();
        return connection.GetRecurringJobs([stage.Id])[0].NextExecution;
    }
}
