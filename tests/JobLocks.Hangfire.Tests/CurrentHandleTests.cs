using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>How a run reaches its own lock.</summary>
[TestFixture]
public sealed class CurrentHandleTests : RealServers
{
    // One worker: the next run is on the same thread.
    private protected override HangfireSetup Setup => new() { Servers = 1, Workers = 1 };

    [Test, CancelAfter(60_000)]
    public async Task Is_there_in_a_synchronous_job_and_gone_in_the_next(CancellationToken stop)
    {
        var (locked, unlocked) = (NewStage(), NewStage());
        unlocked.LetLeave();

        Servers.Enqueue<SyncJob>(job => job.RunSynchronously(locked.Id));
        var next = Servers.Enqueue<SyncJob>(job => job.RunUnlocked(unlocked.Id));
        await Servers.States.NextAsync<SucceededState>(next, stop);
        var found = (await locked.EnteredAsync(stop)).Handle;

        using (Assert.EnterMultipleScope())
        {
            Assert.That(found?.Name, Is.EqualTo(locked.LockName));
            Assert.That(found?.Key, Is.EqualTo(locked.Key));
            Assert.That(found?.Lost.IsCancellationRequested, Is.False);
            Assert.That((await unlocked.EnteredAsync(stop)).Handle, Is.Null);
            Assert.That(JobLockHandle.Current, Is.Null);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_there_in_an_asynchronous_job_on_whatever_thread_it_goes_on(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();

        var id = Servers.Enqueue<Wandering>(job => job.Run(stage.Id));
        await Servers.States.NextAsync<SucceededState>(id, stop);

        Assert.That(stage.Entries.Entries.Select(static entry => entry.Handle?.Name), Is.EqualTo([stage.LockName, stage.LockName, stage.LockName]));
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_the_first_of_several(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();

        var id = Servers.Enqueue<TwoLocks>(job => job.Run(stage.Id));
        await Servers.States.NextAsync<SucceededState>(id, stop);

        Assert.That((await stage.EnteredAsync(stop)).Handle?.Name, Is.EqualTo(stage.LockName));
    }

    public class Wandering
    {
        [JobLock("sync({stage})")]
        public async Task Run(string stage)
        {
            await Stage.Of(stage).PlayAsync();
            await Task.Yield();
            await Stage.Of(stage).PlayAsync();
            await Task.Run(() => Stage.Of(stage).PlayAsync()).ConfigureAwait(false);
        }
    }

    [JobLock("sync({stage})")]
    public class TwoLocks
    {
        [JobLock("also({stage})")]
        public Task Run(string stage) => Stage.Of(stage).PlayAsync();
    }
}
