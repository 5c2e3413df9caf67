using Hangfire;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>A run that is parked in its storage and has lost its place in the wait queue is found there.</summary>
[TestFixture]
public sealed class LostEntryTests : RealServers
{
    [Test, CancelAfter(60_000)]
    public async Task Restores_the_order_and_the_job_queues_of_what_waits_where_the_wait_queue_was_emptied(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        var held = await other.TryAcquireAsync(stage.LockName, stop);
        var first = await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop);
        var second = await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.RunInCritical(stage.Id)), stop);
        await ParkedInLineAsync(stage, stop, count: 2);
        var entries = await EntriesAsync(stage);

        await Servers.Locks.RunAsync("TRUNCATE joblocks.wait_queue");
        await Patience.UntilAsync(() => EntriesAsync(stage), now => Equals(now, entries), stop);
        await held!.DisposeAsync();

        await Servers.States.NextAsync<SucceededState>(first, stop);
        await Servers.States.NextAsync<SucceededState>(second, stop);
        Assert.That(stage.Runs, Is.EqualTo(2));
    }

    [Test, CancelAfter(120_000)]
    public async Task Runs_a_job_that_was_scheduled_for_later_and_waits_where_the_wait_queue_was_emptied(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        var held = await other.TryAcquireAsync(stage.LockName, stop);
        Servers.Client.Schedule<WaitingJob>(job => job.Run(stage.Id), TimeSpan.FromSeconds(14));
        await ParkedInLineAsync(stage, stop);
        await Servers.StartAnewAsync();

        await Servers.Locks.RunAsync($"DELETE FROM joblocks.wait_queue WHERE name = '{stage.LockName}'");
        await held!.DisposeAsync();

        await stage.EnteredAsync(stop, atMost: TimeSpan.FromSeconds(45));
    }

    [Test, CancelAfter(90_000)]
    public async Task Runs_a_job_that_may_wait_for_hours_where_the_wait_queue_was_emptied(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        var held = await other.TryAcquireAsync(stage.LockName, stop);
        Servers.Enqueue<WaitingJob>(job => job.RunPatiently(stage.Id));
        await ParkedInLineAsync(stage, stop);
        await Servers.StartAnewAsync();

        await Servers.Locks.RunAsync($"DELETE FROM joblocks.wait_queue WHERE name = '{stage.LockName}'");
        await held!.DisposeAsync();

        await stage.EnteredAsync(stop, atMost: TimeSpan.FromSeconds(45));
    }

    private Task<object?> EntriesAsync(Stage stage) =>
        Servers.Locks.AskAsync($"SELECT string_agg(l::text, ', ' ORDER BY entry) FROM joblocks.wait_queue AS l WHERE name = '{stage.LockName}'");

    private async Task ParkedInLineAsync(Stage stage, CancellationToken stop, long count = 1) =>
        await Patience.UntilAsync(() => Servers.Locks.AskAsync($"SELECT count(*) FROM joblocks.wait_queue WHERE parked AND name = '{stage.LockName}'"), parked => Equals(parked, count), stop);
}
