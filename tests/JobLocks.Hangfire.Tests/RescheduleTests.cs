using Hangfire;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

[TestFixture]
public sealed class RescheduleTests : RealServers
{
    [Test, CancelAfter(60_000)]
    public async Task Reschedules_the_run_when_another_server_holds_the_lock_and_runs_it_once_after_that(CancellationToken stop)
    {
        var stage = NewStage();
        var held = Servers.EnqueueFor<SyncJob>(Servers[0], job => job.RunSoon(stage.Id));
        await stage.EnteredAsync(stop);

        var before = DateTime.UtcNow;
        var refused = Servers.EnqueueFor<SyncJob>(Servers[1], job => job.RunSoon(stage.Id));
        var later = await Servers.States.NextAsync<ScheduledState>(refused, stop);
        var runsMeanwhile = stage.Runs;
        stage.LetLeave();
        await Servers.States.NextAsync<SucceededState>(held, stop);
        await Servers.States.NextAsync<SucceededState>(refused, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(later.Reason, Does.Match(@$"^Rescheduled: sync\({stage.Id}\) is held by server-0 \(backend \d+ from [\d.:]+\), connected since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\dZ; next try in 1 s$"));
            Assert.That(later.EnqueueAt, Is.EqualTo(later.ScheduledAt.AddSeconds(1)).Within(TimeSpan.FromMilliseconds(100)));
            Assert.That(later.ScheduledAt, Is.GreaterThanOrEqualTo(before));
            Assert.That(runsMeanwhile, Is.EqualTo(1));
            Assert.That(stage.Runs, Is.EqualTo(2));
            Assert.That(stage.MostAtOnce, Is.EqualTo(1));
            Assert.That(Servers.Parameter(refused, "RetryCount"), Is.Null);
            Assert.That(await Servers.Locks.IsFreeAtLastAsync(stage.LockName, stop), Is.True);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Keeps_a_queue_that_only_the_state_named(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);

        var refused = Servers.Client.Create<SyncJob>(job => job.RunSoon(stage.Id), new EnqueuedState("critical"));
        await Servers.States.NextAsync<ScheduledState>(refused, stop);
        await held!.DisposeAsync();
        var again = await Servers.States.NextAsync<EnqueuedState>(refused, stop, nth: 2);
        await Servers.States.NextAsync<SucceededState>(refused, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(again.Queue, Is.EqualTo("critical"));
            Assert.That(stage.Runs, Is.EqualTo(1));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Waits_fifteen_seconds_unless_told_otherwise(CancellationToken stop)
    {
        var stage = NewStage();
        await using var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);

        var refused = Servers.EnqueueFor<SyncJob>(Servers[0], job => job.Run(stage.Id));
        var later = await Servers.States.NextAsync<ScheduledState>(refused, stop);
        Servers.Client.Delete(refused);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(later.EnqueueAt, Is.EqualTo(later.ScheduledAt.AddSeconds(15)).Within(TimeSpan.FromMilliseconds(100)));
            Assert.That(later.Reason, Does.EndWith("; next try in 15 s"));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Tries_again_as_often_as_it_takes_and_burns_no_retry(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);

        var refused = Servers.Enqueue<SyncJob>(job => job.RunSoon(stage.Id));
        await Servers.States.NextAsync<ScheduledState>(refused, stop, nth: 3);
        var runsMeanwhile = stage.Runs;
        await held!.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(refused, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(runsMeanwhile, Is.Zero);
            Assert.That(stage.Runs, Is.EqualTo(1));
            Assert.That(Servers.Parameter(refused, "RetryCount"), Is.Null);
            Assert.That(Servers.States.NamesOf(refused), Has.None.EqualTo(DeletedState.StateName).And.None.EqualTo(FailedState.StateName));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Comes_back_into_the_queue_it_was_enqueued_to(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var held = await Servers[0].Locks!.TryAcquireAsync(stage.LockName, stop);

        var refused = Servers.Client.Enqueue<SyncJob>(Servers[1].Name, job => job.RunSoon(stage.Id));
        await Servers.States.NextAsync<ScheduledState>(refused, stop, nth: 2);
        await held!.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(refused, stop);

        using (Assert.EnterMultipleScope())
        {
            // Only that server serves it.
            Assert.That(stage.Entries.Entries.Select(static entry => entry.Handle!.Holder.Application), Is.EqualTo([Servers[1].Name]));
            Assert.That(QueueOf(refused), Is.EqualTo(Servers[1].Name));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Comes_back_into_the_queue_that_an_attribute_names(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var held = await Servers[1].Locks!.TryAcquireAsync(stage.LockName, stop);

        var refused = Servers.Enqueue<SyncJob>(job => job.RunSoonInCritical(stage.Id));
        await Servers.States.NextAsync<ScheduledState>(refused, stop);
        await held!.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(refused, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(Servers.States.Of(refused).OfType<EnqueuedState>().Select(static state => state.Queue), Is.EqualTo(["critical", "critical"]));
            Assert.That(stage.Runs, Is.EqualTo(1));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Lets_many_runs_of_one_name_through_one_at_a_time(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();

        var ids = Enumerable.Range(0, 12).Select(i => Servers.EnqueueFor<SyncJob>(Servers[i % 2], job => job.RunSoon(stage.Id))).ToList();
        foreach (var id in ids) await Servers.States.NextAsync<SucceededState>(id, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(stage.Runs, Is.EqualTo(12));
            Assert.That(stage.MostAtOnce, Is.EqualTo(1));
        }
    }

    private string? QueueOf(string jobId)
    {
        using var connection = Servers[0].Storage.GetConnection();
        return connection.GetJobData(jobId).Job.Queue;
    }
}
