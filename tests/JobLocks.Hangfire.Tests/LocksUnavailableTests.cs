using System.Linq.Expressions;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;
using JobLocks.Testing.Postgres;

namespace JobLocks.Hangfire.Tests;

/// <summary>The locks are on a server of their own, and that one is away: no lock, no run, and no run is dropped for it.</summary>
[TestFixture]
public sealed class LocksUnavailableTests : RealServers
{
    private PostgresServer? _server;

    private PostgresServer Server => _server!;

    private protected override async Task<HangfireServers> StartAsync()
    {
        _server = await PostgresServer.StartOwnAsync();
        var jobs = await AssemblySetup.Server.CreateDatabaseAsync(nameof(LocksUnavailableTests));
        return HangfireServers.Start(jobs, Setup with { LockDatabase = await _server.CreateDatabaseAsync("locks") });
    }

    private protected override async ValueTask StoppedAsync()
    {
        if (_server is not null) await _server.DisposeAsync();
    }

    [Test, CancelAfter(120_000)]
    public async Task Keeps_every_run_until_the_locks_are_back_and_burns_no_retry(CancellationToken stop)
    {
        Expression<Func<SyncJob, Task>>[] Calls(Stage stage) =>
            [job => job.RunSoon(stage.Id), job => job.RunOrSkip(stage.Id), job => job.RunOrFail(stage.Id)];
        Stage[] stages = [NewStage(), NewStage(), NewStage()];
        foreach (var stage in stages) stage.LetLeave();
        await Server.StopAsync(immediate: true, stop);

        string[] ids = [.. stages.Select((stage, i) => Servers.EnqueueFor(Servers[i % 2], Calls(stage)[i]))];
        var later = await Task.WhenAll(ids.Select(id => Servers.States.NextAsync<ScheduledState>(id, stop, nth: 2)));
        var runsMeanwhile = stages.Sum(static stage => stage.Runs);
        await Server.StartAgainAsync(stop);
        foreach (var id in ids) await Servers.States.NextAsync<SucceededState>(id, stop);

        using (Assert.EnterMultipleScope())
        {
            for (var i = 0; i < ids.Length; i++)
            {
                Assert.That(later[i].Reason, Does.Match(
                    @$"^Rescheduled: sync\({stages[i].Id}\) could not be requested\. PostgreSQL at 127\.0\.0\.1:\d+, database \w+ cannot be asked for locks: .+\. Next try in 1 s$"));
                Assert.That(stages[i].Runs, Is.EqualTo(1));
                Assert.That(Servers.Parameter(ids[i], "RetryCount"), Is.Null);
                Assert.That(Servers.States.NamesOf(ids[i]), Has.None.EqualTo(DeletedState.StateName).And.None.EqualTo(FailedState.StateName));
            }

            Assert.That(runsMeanwhile, Is.Zero);
        }
    }

    [Test, CancelAfter(120_000)]
    public async Task Tells_the_run_that_is_under_way_and_leaves_its_end_to_it(CancellationToken stop)
    {
        var stage = NewStage();
        var id = Servers.Enqueue<SyncJob>(job => job.RunOn(stage.Id));
        var entry = await stage.EnteredAsync(stop);

        await Server.StopAsync(immediate: true, stop);
        await stage.LeftAsync(stop);
        stage.LetLeave();
        await Servers.States.NextAsync<SucceededState>(id, stop);
        await Server.StartAgainAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(entry.Handle!.Lost.IsCancellationRequested, Is.True);
            Assert.That(stage.Runs, Is.EqualTo(1));
        }
    }
}
