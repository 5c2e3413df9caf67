using Hangfire;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>A run that is parked in its storage and has lost its place in the wait queue is found there.</summary>
[TestFixture]
public sealed class LostPlaceTests : RealServers
{
    [Test, CancelAfter(60_000)]
    public async Task Runs_what_waits_where_the_line_was_emptied(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        var held = await other.TryAcquireAsync(stage.LockName, stop);
        var first = await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop);
        var second = await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.RunInCritical(stage.Id)), stop);

        await Servers.Locks.RunAsync("TRUNCATE joblocks.line");
        await held!.DisposeAsync();

        await Servers.States.NextAsync<SucceededState>(first, stop);
        await Servers.States.NextAsync<SucceededState>(second, stop);
        Assert.That(stage.Runs, Is.EqualTo(2));
    }

    [Test, CancelAfter(120_000)]
    public async Task Runs_a_job_that_was_scheduled_for_later_and_waits_where_the_line_was_emptied(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        var held = await other.TryAcquireAsync(stage.LockName, stop);
        Servers.Client.Schedule<WaitingJob>(job => job.Run(stage.Id), TimeSpan.FromSeconds(14));
        await ParkedInLineAsync(stage, stop);

        await Servers.Locks.RunAsync($"DELETE FROM joblocks.line WHERE name = '{stage.LockName}'");
        await held!.DisposeAsync();

        await stage.EnteredAsync(stop, atMost: TimeSpan.FromSeconds(45));
    }

    [Test, CancelAfter(90_000)]
    public async Task Runs_a_job_that_may_wait_for_hours_where_the_line_was_emptied(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        var held = await other.TryAcquireAsync(stage.LockName, stop);
        Servers.Enqueue<WaitingJob>(job => job.RunPatiently(stage.Id));
        await ParkedInLineAsync(stage, stop);

        await Servers.Locks.RunAsync($"DELETE FROM joblocks.line WHERE name = '{stage.LockName}'");
        await held!.DisposeAsync();

        await stage.EnteredAsync(stop, atMost: TimeSpan.FromSeconds(45));
    }

    private async Task ParkedInLineAsync(Stage stage, CancellationToken stop) =>
        await Patience.UntilAsync(() => Servers.Locks.AskAsync($"SELECT count(*) FROM joblocks.line WHERE parked AND name = '{stage.LockName}'"), static parked => parked is 1L, stop);
}
