using Hangfire;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>Runs that wait in their workers for a lock that is usually held for a short time. Two of the eight workers of a server may wait.</summary>
[TestFixture]
public sealed class WaitInWorkerTests : RealServers
{
    private protected override HangfireSetup Setup => new() { Workers = 8, Options = static options => options.LongestWaitInWorker = TimeSpan.FromSeconds(5) };

    [Test, CancelAfter(60_000)]
    public async Task Starts_a_run_in_its_worker_when_the_lock_is_released_in_another_process(CancellationToken stop)
    {
        var stage = NewStage();
        var (held, waiting) = await WaitInWorkerAsync(stage, stop);
        var enteredEarly = stage.Runs;
        await held.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(waiting, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(enteredEarly, Is.EqualTo(1), "the run that showed how long the lock is held");
            Assert.That(Servers.States.NamesOf(waiting), Is.EqualTo(["Enqueued", "Processing", "Succeeded"]));
            Assert.That(await Servers.Locks.LineAtLastAsync(stop), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Does_not_start_a_run_that_was_deleted_while_it_waited_in_its_worker(CancellationToken stop)
    {
        var stage = NewStage();
        var (held, deleted) = await WaitInWorkerAsync(stage, stop);

        Servers.Client.Delete(deleted);
        await held.DisposeAsync();
        var isFree = await Servers.Locks.IsFreeAtLastAsync(stage.LockName, stop);
        var next = Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.Pass(stage.Id, 2));
        await Servers.States.NextAsync<SucceededState>(next, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(isFree, Is.True);
            Assert.That(stage.Entries.Entries.Select(static entry => entry.Number), Is.EqualTo([0, 2]));
            Assert.That(Servers.States.NamesOf(deleted), Is.EqualTo(["Enqueued", "Processing", "Deleted"]));
            Assert.That(await Servers.Locks.LineAtLastAsync(stop), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Brings_the_next_parked_run_to_a_worker_while_the_lock_is_still_held(CancellationToken stop)
    {
        var stage = NewStage();
        await HoldShortlyAsync(stage, stop);
        var held = await Servers[1].Locks!.AcquireAsync(stage.LockName, Patience.Limit, stop);
        var runs = new List<string>();
        for (var run = 1; run <= 2; run++)
        {
            var number = run;
            runs.Add(Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.Write(stage.Id, number)));
            await WhenInWorkerAsync(runs[^1], stop);
        }

        var parked = await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.Write(stage.Id, 3)), stop);
        await held.DisposeAsync();
        (await stage.EnteredAsync(stop, nth: 2)).LetLeave();
        var second = await stage.EnteredAsync(stop, nth: 3);
        await Servers.States.NextAsync<ProcessingState>(parked, stop, nth: 2);
        await WhenInWorkerAsync(parked, stop);
        var runsBefore = stage.Runs;
        second.LetLeave();
        (await stage.EnteredAsync(stop, nth: 4)).LetLeave();
        foreach (var run in runs.Append(parked)) await Servers.States.NextAsync<SucceededState>(run, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(runsBefore, Is.EqualTo(3), "the third run waits until the second one has ended");
            Assert.That(stage.MostAtOnce, Is.EqualTo(1));
            Assert.That(stage.Entries.Entries.Select(static entry => entry.Number), Is.EqualTo([0, 1, 2, 3]));
            foreach (var run in runs) Assert.That(Servers.States.NamesOf(run), Is.EqualTo(["Enqueued", "Processing", "Succeeded"]), "two of eight workers may wait");
            Assert.That(Servers.States.NamesOf(parked), Is.EqualTo(["Enqueued", "Processing", "Scheduled", "Processing", "Succeeded"]));
            Assert.That(await Servers.Locks.LineAtLastAsync(stop), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Parks_a_run_that_waits_in_its_worker_when_the_server_stops(CancellationToken stop)
    {
        var stage = NewStage();
        await HoldShortlyAsync(stage, stop);
        var stopping = Servers.Add();
        stopping.StartServer();
        await HoldShortlyAsync(stage, stop, stopping);
        var held = await Servers[1].Locks!.AcquireAsync(stage.LockName, Patience.Limit, stop);
        var waiting = Servers.EnqueueFor<WaitingJob>(stopping, job => job.Pass(stage.Id, 1));
        await WhenInWorkerAsync(waiting, stop);

        await stopping.StopServerAsync(stop);
        var names = Servers.States.NamesOf(waiting);
        stopping.StartServer();
        await held.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(waiting, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(names, Is.EqualTo(["Enqueued", "Processing", "Scheduled"]));
            Assert.That(stage.Entries.Entries.Count(static entry => entry.Number == 1), Is.EqualTo(1));
            Assert.That(await Servers.Locks.LineAtLastAsync(stop), Is.Empty);
        }
    }

    /// <summary>Has a run of the first server wait in its worker for a lock that the other process holds.</summary>
    private async Task<(JobLockHandle Held, string Run)> WaitInWorkerAsync(Stage stage, CancellationToken stop)
    {
        await HoldShortlyAsync(stage, stop);
        var held = await Servers[1].Locks!.AcquireAsync(stage.LockName, Patience.Limit, stop);
        var waiting = Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.Pass(stage.Id, 1));
        await WhenInWorkerAsync(waiting, stop);
        return (held, waiting);
    }

    /// <summary>Has a run of a server hold the lock for a moment: from then on, the server knows that this is usual.</summary>
    private async Task HoldShortlyAsync(Stage stage, CancellationToken stop, HangfireProcess? server = null)
    {
        var id = Servers.EnqueueFor<WaitingJob>(server ?? Servers[0], job => job.Pass(stage.Id, 0));
        await Servers.States.NextAsync<SucceededState>(id, stop);
    }

    /// <summary>Waits until a run has a queue entry and is not parked.</summary>
    private async Task WhenInWorkerAsync(string jobId, CancellationToken stop) =>
        await Patience.UntilAsync(() => Servers.Locks.AskAsync("SELECT count(*) FROM joblocks.wait_queue WHERE job = $1 AND NOT parked", jobId), static count => count is 1L, stop);
}
