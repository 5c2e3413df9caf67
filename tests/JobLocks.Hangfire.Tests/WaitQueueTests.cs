using Hangfire;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>A run that waited comes back to those who serve its queue.</summary>
[TestFixture]
public sealed class WaitQueueTests : RealServers
{
    private protected override HangfireSetup Setup => new() { Options = static options => options.WakeTimeout = TimeSpan.FromSeconds(1.5) };

    [Test, CancelAfter(60_000)]
    public async Task Keeps_the_queue_that_an_attribute_names(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);
        var waiting = await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.RunInCritical(stage.Id)), stop);

        var queue = await QueueInLineAsync(waiting);
        await held!.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(waiting, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(queue, Is.EqualTo("critical"));
            Assert.That(stage.Runs, Is.EqualTo(1));
            Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Keeps_a_queue_that_only_the_state_named(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);
        var waiting = await Servers.ParkedAsync(Servers.Client.Create<WaitingJob>(job => job.Run(stage.Id), new EnqueuedState(Servers[0].Name)), stop);

        await held!.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(waiting, stop);

        using (Assert.EnterMultipleScope())
        {
            // Only that server serves it.
            Assert.That(stage.Entries.Entries.Select(static entry => entry.Handle!.Holder.Application), Is.EqualTo([Servers[0].Name]));
            Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Keeps_a_queue_that_only_the_state_named_when_a_person_has_it_run_at_once(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);
        var waiting = await Servers.ParkedAsync(Servers.Client.Create<WaitingJob>(job => job.Run(stage.Id), new EnqueuedState("critical")), stop);

        Servers.Client.Requeue(waiting);
        var again = await Servers.States.NextAsync<EnqueuedState>(waiting, stop, nth: 2);
        await Servers.ParkedAsync(waiting, stop, nth: 2);
        await held!.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(waiting, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(again.Queue, Is.EqualTo("critical"));
            Assert.That(stage.Runs, Is.EqualTo(1));
            Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Lets_other_runs_bypass_one_whose_queue_no_server_serves_and_keeps_its_entry(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        var server = Servers.Add();
        server.StartServer();
        var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);
        var stranded = await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(server, job => job.Pass(stage.Id, 1)), stop);
        await server.StopServerAsync(stop);
        var behind = await Servers.ParkedAsync(Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.Pass(stage.Id, 2)), stop);

        await held!.DisposeAsync();
        // A newcomer stands behind both, while the turn of the first is not over.
        var newcomer = Servers.EnqueueFor<WaitingJob>(Servers[1], job => job.Pass(stage.Id, 3));
        var parked = await Servers.States.NextAsync<ScheduledState>(newcomer, stop);
        await Servers.States.NextAsync<SucceededState>(newcomer, stop);
        var line = await Servers.Locks.LineAsync();
        server.StartServer();
        await Servers.States.NextAsync<SucceededState>(stranded, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(parked.Reason, Is.EqualTo($"Waiting for {stage.LockName}, position 3"));
            Assert.That(line, Is.EqualTo([(stage.LockName, stranded)]));
            Assert.That(stage.Entries.Entries.Select(static entry => entry.Number), Is.EqualTo([2, 3, 1]));
            Assert.That(Servers.States.NamesOf(behind), Is.EqualTo(["Enqueued", "Processing", "Scheduled", "Processing", "Succeeded"]));
            Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
        }
    }

    private async Task<string?> QueueInLineAsync(string run) => (string?)await Servers.Locks.AskAsync("SELECT queue FROM joblocks.wait_queue WHERE job = $1", run);
}
