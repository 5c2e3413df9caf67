using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

[TestFixture]
public sealed class ShutdownTests : RealServers
{
    private protected override HangfireSetup Setup => new() { Servers = 1 };

    [Test, CancelAfter(60_000)]
    public async Task Gives_a_run_that_a_shutdown_ended_to_another_server(CancellationToken stop)
    {
        var stage = NewStage();
        var id = Servers.Enqueue<SyncJob>(job => job.RunUntilStopped(stage.Id, CancellationToken.None));
        await stage.EnteredAsync(stop);

        await Servers[0].StopServerAsync(stop);
        var freeAfterTheEnd = await Servers.Locks.IsFreeAtLastAsync(stage.LockName, stop);
        Servers.Add().StartServer();
        var second = await stage.EnteredAsync(stop, nth: 2);
        stage.LetLeave();
        await Servers.States.NextAsync<SucceededState>(id, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(freeAfterTheEnd, Is.True);
            Assert.That(second.Handle!.Holder.Application, Is.EqualTo("server-1"));
            Assert.That(stage.Runs, Is.EqualTo(2));
            Assert.That(stage.MostAtOnce, Is.EqualTo(1));
            Assert.That(Servers.States.NamesOf(id), Has.None.EqualTo(DeletedState.StateName).And.None.EqualTo(FailedState.StateName));
            Assert.That(Servers.Parameter(id, "RetryCount"), Is.Null);
            Assert.That(await Servers.Locks.IsFreeAtLastAsync(stage.LockName, stop), Is.True);
        }
    }
}
