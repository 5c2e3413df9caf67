using System.Globalization;
using Hangfire;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>A run that was deleted, or whose entry in the wait queue was lost, drops no other run.</summary>
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

    /// <summary>As after the tables were dropped, or emptied with RESTART IDENTITY.</summary>
    [Test, CancelAfter(60_000)]
    public async Task Takes_no_position_of_a_run_whose_job_had_the_same_id(CancellationToken stop)
    {
        var stage = NewStage();
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        var held = await other.TryAcquireAsync(stage.LockName, stop);
        var lost = await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.Pass(stage.Id, 1)), stop);
        var waiting = await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.Pass(stage.Id, 2)), stop);

        await Servers.Locks.RunAsync($"DELETE FROM hangfire.job WHERE id = {lost}; DELETE FROM hangfire.set WHERE value = '{lost}'; ALTER SEQUENCE hangfire.job_id_seq RESTART WITH {lost}");
        var anew = Servers.Enqueue<WaitingJob>(job => job.Pass(stage.Id, 3));
        await Servers.ParkedAsync(anew, stop, nth: 2);
        await Servers.Locks.RunAsync($"ALTER SEQUENCE hangfire.job_id_seq RESTART WITH {long.Parse(waiting, CultureInfo.InvariantCulture) + 1}");
        await held!.DisposeAsync();
        await stage.EnteredAsync(stop, nth: 2);

        Assert.That((anew, stage.Entries.Entries.Select(static entry => entry.Number)), Is.EqualTo((lost, (int[])[2, 3])));
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_skipped_for_no_run_that_was_deleted_before_the_wait_queue_was_emptied([Values] bool keepsNewest, CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        var held = await other.TryAcquireAsync(stage.LockName, stop);
        Servers.Client.Delete(await ParkedAsync(stage, 1, keepsNewest, stop));
        await LoseEntriesAsync(stage);

        var anew = await ParkedAsync(stage, 2, keepsNewest, stop);
        await held!.DisposeAsync();

        await Servers.States.NextAsync<SucceededState>(anew, stop);
        Assert.That(stage.Entries.Entries.Select(static entry => entry.Number), Is.EqualTo([2]));
        Assert.That(await LineAtLastAsync(stage, stop), Is.Zero);
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_skipped_or_replaces_the_run_whose_entry_was_restored([Values] bool keepsNewest, CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        var held = await other.TryAcquireAsync(stage.LockName, stop);
        var first = await ParkedAsync(stage, 1, keepsNewest, stop);
        await LoseEntriesAsync(stage);
        await Patience.UntilAsync(() => LineAsync(stage), static count => count is 1L, stop);

        var second = keepsNewest
            ? Servers.Enqueue<WaitingJob>(job => job.RunOrReplace(stage.Id, 2))
            : Servers.Enqueue<WaitingJob>(job => job.RunOrJoin(stage.Id, 2));
        await Servers.States.NextAsync<DeletedState>(keepsNewest ? first : second, stop);
        await held!.DisposeAsync();

        await Servers.States.NextAsync<SucceededState>(keepsNewest ? second : first, stop);
        Assert.That(stage.Entries.Entries.Select(static entry => entry.Number), Is.EqualTo([keepsNewest ? 2 : 1]));
        Assert.That(await LineAtLastAsync(stage, stop), Is.Zero);
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_skipped_for_no_run_under_a_free_lock_after_the_wait_queue_was_emptied(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        var held = await other.TryAcquireAsync(stage.LockName, stop);
        Servers.Client.Delete(await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop));
        await LoseEntriesAsync(stage);
        await held!.DisposeAsync();
        await Servers.Locks.IsFreeAtLastAsync(stage.LockName, stop);

        var alone = Servers.Enqueue<SyncJob>(job => job.RunOrSkip(stage.Id));

        await Servers.States.NextAsync<SucceededState>(alone, stop);
        Assert.That(stage.Runs, Is.EqualTo(1));
    }

    /// <summary>A run of which one at a time waits, and that has its place.</summary>
    private async Task<string> ParkedAsync(Stage stage, int number, bool keepsNewest, CancellationToken stop)
    {
        var run = await Servers.ParkedAsync(
            keepsNewest ? Servers.Enqueue<WaitingJob>(job => job.RunOrReplace(stage.Id, number)) : Servers.Enqueue<WaitingJob>(job => job.RunOrJoin(stage.Id, number)), stop);
        await Patience.UntilAsync(
            () => Servers.Locks.AskAsync("SELECT parked FROM joblocks.wait_queue WHERE name = $1 AND coalesce(job, run) = $2", stage.LockName, run), static parked => parked is true, stop);
        return run;
    }

    private Task LoseEntriesAsync(Stage stage) => Servers.Locks.RunAsync("DELETE FROM joblocks.wait_queue WHERE name = $1", stage.LockName);

    private Task<object?> LineAsync(Stage stage) => Servers.Locks.AskAsync("SELECT count(*) FROM joblocks.wait_queue WHERE name = $1", stage.LockName);

    private Task<object?> LineAtLastAsync(Stage stage, CancellationToken stop) => Patience.UntilAsync(() => LineAsync(stage), static count => count is 0L, stop);
}
