using System.Globalization;
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
}
