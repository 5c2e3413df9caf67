using Hangfire;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>What a person, or code of the application, does to a run that waits.</summary>
[TestFixture]
public sealed class WaitByHandTests : RealServers
{
    [Test, CancelAfter(60_000)]
    public async Task Removes_the_entry_of_a_deleted_run_and_wakes_the_next_at_once(CancellationToken stop)
    {
        var stage = NewStage();
        var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);
        var deleted = await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.Pass(stage.Id, 1)), stop);
        var next = await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(Servers[1], job => job.Pass(stage.Id, 2)), stop);

        Servers.Client.Delete(deleted);
        await held!.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(next, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(stage.Entries.Entries.Select(static entry => entry.Number), Is.EqualTo([2]));
            Assert.That(Servers.States.NamesOf(deleted)[^1], Is.EqualTo("Deleted"));
            Assert.That(await Servers.Locks.LineAtLastAsync(stop), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Removes_the_entry_of_a_deleted_run_while_the_lock_is_held(CancellationToken stop)
    {
        var stage = NewStage();
        await using var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);
        var deleted = await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.Run(stage.Id)), stop);

        Servers.Client.Delete(deleted);

        Assert.That(await Servers.Locks.LineAtLastAsync(stop), Is.Empty);
        Assert.That(stage.Runs, Is.Zero);
    }

    [Test, CancelAfter(60_000)]
    public async Task Wakes_the_next_run_where_one_was_deleted_after_it_was_woken(CancellationToken stop)
    {
        var stage = NewStage();
        var server = Servers.Add();
        server.StartServer();
        var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);
        var deleted = await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(server, job => job.Pass(stage.Id, 1)), stop);
        await server.StopServerAsync(stop);
        var next = await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.Pass(stage.Id, 2)), stop);
        await held!.DisposeAsync();
        await IsToldAsync(deleted, stop);

        Servers.Client.Delete(deleted);
        await Servers.States.NextAsync<SucceededState>(next, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(stage.Entries.Entries.Select(static entry => entry.Number), Is.EqualTo([2]));
            Assert.That(await Servers.Locks.LineAtLastAsync(stop), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Keeps_the_entries_of_runs_that_were_requeued_while_the_lock_is_held(CancellationToken stop)
    {
        var stage = NewStage();
        var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);
        var first = await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.Pass(stage.Id, 1)), stop);
        var second = await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(Servers[1], job => job.Pass(stage.Id, 2)), stop);

        Servers.Client.Requeue(second);
        await Servers.ParkedAsync(second, stop, nth: 2);
        Servers.Client.Requeue(first);
        await Servers.ParkedAsync(first, stop, nth: 2);
        var line = await Servers.Locks.LineAsync();
        await held!.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(second, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(line.Select(static place => place.Run), Is.EqualTo([first, second]));
            Assert.That(Servers.States.Of(second).OfType<ScheduledState>().Last().Reason, Does.EndWith(", position 2"));
            Assert.That(stage.Entries.Entries.Select(static entry => entry.Number), Is.EqualTo([1, 2]));
            Assert.That(Servers.Parameter(first, "RetryCount"), Is.Null);
            Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Removes_the_entry_of_a_run_that_was_scheduled_for_another_time(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);
        var moved = await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.Pass(stage.Id, 1)), stop);
        var next = await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(Servers[1], job => job.Pass(stage.Id, 2)), stop);

        Servers.Client.Reschedule(moved, TimeSpan.FromHours(2));
        await held!.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(next, stop);
        var line = await Servers.Locks.LineAtLastAsync(stop);
        var runsMeanwhile = stage.Runs;
        Servers.Client.Requeue(moved);
        await Servers.States.NextAsync<SucceededState>(moved, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(line, Is.Empty);
            Assert.That(runsMeanwhile, Is.EqualTo(1));
            Assert.That(stage.Entries.Entries.Select(static entry => entry.Number), Is.EqualTo([2, 1]));
        }
    }

    private Task<object?> IsToldAsync(string run, CancellationToken stop) => Patience.UntilAsync(
        () => Servers.Locks.AskAsync("SELECT claimed FROM joblocks.wait_queue WHERE job = $1", run), static claimed => claimed is true, stop);
}
