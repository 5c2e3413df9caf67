using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

[TestFixture]
public sealed class WaitTests : RealServers
{
    [Test, CancelAfter(60_000)]
    public async Task Waits_in_the_queue_and_runs_as_soon_as_the_lock_is_released(CancellationToken stop)
    {
        var stage = NewStage();
        var held = Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.Run(stage.Id));
        await stage.EnteredAsync(stop);

        var waiting = Servers.EnqueueFor<WaitingJob>(Servers[1], job => job.Run(stage.Id));
        var parked = await Servers.States.NextAsync<ScheduledState>(waiting, stop);
        var runsMeanwhile = stage.Runs;
        stage.LetLeave();
        await Servers.States.NextAsync<SucceededState>(held, stop);
        await Servers.States.NextAsync<SucceededState>(waiting, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(parked.Reason, Does.Match(@$"^Waiting for sync\({stage.Id}\), held by server-0 \(backend \d+ from [\d.:]+\), connected since [^,]+, position 1$"));
            Assert.That(parked.EnqueueAt, Is.EqualTo(parked.ScheduledAt.AddHours(1)).Within(TimeSpan.FromMilliseconds(100)));
            Assert.That(runsMeanwhile, Is.EqualTo(1));
            Assert.That(stage.Runs, Is.EqualTo(2));
            Assert.That(stage.MostAtOnce, Is.EqualTo(1));
            Assert.That(Servers.States.NamesOf(waiting), Is.EqualTo(["Enqueued", "Processing", "Scheduled", "Processing", "Succeeded"]));
            Assert.That(Servers.Parameter(waiting, "RetryCount"), Is.Null);
            Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Runs_those_who_wait_in_the_order_in_which_they_came(CancellationToken stop)
    {
        var stage = NewStage();
        var held = Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.Run(stage.Id));
        await stage.EnteredAsync(stop);

        var waiting = new List<string>();
        for (var number = 1; number <= 20; number++)
        {
            var id = Servers.EnqueueFor<WaitingJob>(Servers[number % 2], job => job.Pass(stage.Id, number));
            await Servers.States.NextAsync<ScheduledState>(id, stop);
            waiting.Add(id);
        }

        stage.LetLeave();
        foreach (var id in waiting) await Servers.States.NextAsync<SucceededState>(id, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(stage.Entries.Entries.Select(static entry => entry.Number), Is.EqualTo(Enumerable.Range(0, 21)));
            Assert.That(stage.MostAtOnce, Is.EqualTo(1));
            Assert.That(waiting.Select(id => Servers.States.Of(id).OfType<ScheduledState>().Count()), Has.All.EqualTo(1));
            Assert.That(await Servers.Locks.LineAsync(), Is.Empty);
        }
    }
}
