using Hangfire;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>Hangfire's own retries of a job that threw, and the lock.</summary>
[TestFixture]
public sealed class RetryTests : RealServers
{
    [Test, CancelAfter(60_000)]
    public async Task Frees_the_lock_until_the_retry_and_takes_it_again(CancellationToken stop)
    {
        var stage = NewStage();

        var id = Servers.Enqueue<ThrowsOnce>(job => job.Run(stage.Id));
        await Servers.States.NextAsync<ScheduledState>(id, stop);
        await Servers.StoredAsync(id, ScheduledState.StateName, stop);
        var freeBetween = await Servers.Locks.IsFreeAtLastAsync(stage.LockName, stop);
        Servers.Client.Requeue(id);
        await Servers.States.NextAsync<SucceededState>(id, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(freeBetween, Is.True);
            Assert.That(stage.Entries.Entries.Select(static entry => entry.Handle?.Name), Is.EqualTo([stage.LockName, stage.LockName]));
            Assert.That(await Servers.Locks.IsFreeAtLastAsync(stage.LockName, stop), Is.True);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Counts_only_what_threw_and_not_what_was_refused(CancellationToken stop)
    {
        var stage = NewStage();
        var id = Servers.EnqueueFor<ThrowsOnce>(Servers[0], job => job.Run(stage.Id));
        await Servers.StoredAsync(id, ScheduledState.StateName, stop);

        await using var held = await Servers[1].Locks!.AcquireAsync(stage.LockName, Patience.Limit, stop);
        Servers.Client.Requeue(id);
        var refused = await Servers.States.NextAsync<ScheduledState>(id, stop, nth: 2);
        await held.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(id, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(refused.Reason, Does.StartWith("Rescheduled"));
            Assert.That(stage.Runs, Is.EqualTo(2));
            Assert.That(Servers.Parameter(id, "RetryCount"), Is.EqualTo("1"));
        }
    }

    /// <summary>Retried when the test says so: a retry that comes by itself may come before the test has looked.</summary>
    [AutomaticRetry(Attempts = 1, DelaysInSeconds = [3600])]
    public class ThrowsOnce
    {
        [JobLock("sync({stage})", OnConflict = OnConflict.Reschedule, RetryAfterSeconds = 1)]
        public void Run(string stage)
        {
            Stage.Of(stage).Pass();
            if (Stage.Of(stage).Runs == 1) throw new InvalidOperationException("The first time.");
        }
    }
}
