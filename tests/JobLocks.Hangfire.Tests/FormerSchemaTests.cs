using Hangfire;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>An application is started with another schema: the runs that it left in the former one are those of a storage that no process serves.</summary>
[TestFixture]
public sealed class FormerSchemaTests : RealServers
{
    private protected override HangfireSetup Setup => new() { Servers = 1 };

    [Test, CancelAfter(90_000)]
    public async Task Drops_no_run_and_keeps_no_free_lock_on_account_of_runs_in_the_former_schema(CancellationToken stop)
    {
        var (joined, replaced, skipped) = (NewStage(), NewStage(), NewStage());
        foreach (var stage in new[] { joined, replaced, skipped }) stage.LetLeave();
        await using var byHand = AdvisoryLocks.Connect(Servers.Database);
        var held = await byHand.TryAcquireAllAsync([joined.LockName, replaced.LockName], stop);
        var free = await byHand.TryAcquireAsync(skipped.LockName, stop);
        string[] former =
        [
            await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.RunOrJoin(joined.Id, 1)), stop),
            await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.RunOrReplace(replaced.Id, 1)), stop),
            await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.Run(skipped.Id)), stop),
        ];
        await Servers[0].DisposeAsync();
        await free!.DisposeAsync();

        await using (await byHand.AcquireAsync(skipped.LockName, TimeSpan.FromSeconds(10), stop))
        {
        }

        var states = new AnnouncedStates();
        await using var young = new HangfireProcess("young", Servers.Database, Setup with { Schema = "jobs" }, states);
        young.StartServer();
        young.Client.Enqueue<SyncJob>(job => job.RunOrSkip(skipped.Id));
        await skipped.EnteredAsync(stop);
        var joins = await states.NextAsync<ScheduledState>(young.Client.Enqueue<WaitingJob>(job => job.RunOrJoin(joined.Id, 2)), stop);
        var replaces = await states.NextAsync<ScheduledState>(young.Client.Enqueue<WaitingJob>(job => job.RunOrReplace(replaced.Id, 2)), stop);
        var shown = await Patience.UntilAsync(() => byHand.Inspector.GetNameAsync(replaced.Key, stop: stop), static name => name.Waiting.Total == 2, stop);
        var verdicts = await Servers.Locks.AskAsync("SELECT count(*) FROM joblocks.wait_queue WHERE verdict IS NOT NULL");
        await held!.DisposeAsync();
        var order = new[] { await joined.EnteredAsync(stop), await replaced.EnteredAsync(stop) };

        using (Assert.EnterMultipleScope())
        {
            Assert.That(new[] { joins.Reason, replaces.Reason }, Is.All.StartsWith("Waiting for"));
            Assert.That(order.Select(static entry => entry.Number), Is.EqualTo([2, 2]));
            Assert.That(shown.Waiting.Items.Select(static run => run.IsServed), Is.EqualTo([false, true]));
            Assert.That(verdicts, Is.Zero);
        }

        Servers.Add().StartServer();
        foreach (var run in former) await Servers.States.NextAsync<SucceededState>(run, stop);
        Assert.That((joined.Runs, replaced.Runs, skipped.Runs), Is.EqualTo((2, 2, 2)));
        Assert.That(await Servers.Locks.LineAtLastAsync(stop), Is.Empty);
    }
}
