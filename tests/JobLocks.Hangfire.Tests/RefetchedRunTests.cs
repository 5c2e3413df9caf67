using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>A run that outlives the invisibility timeout is fetched again, and meets itself.</summary>
[TestFixture]
public sealed class RefetchedRunTests : RealServers
{
    private protected override HangfireSetup Setup => new() { Servers = 1, InvisibilityTimeout = TimeSpan.FromSeconds(1) };

    [Test, CancelAfter(60_000)]
    public async Task Is_rescheduled_and_never_skipped_by_its_own_server(CancellationToken stop)
    {
        var stage = NewStage();
        var id = Servers.EnqueueFor<SyncJob>(Servers[0], job => job.RunOrSkip(stage.Id));

        await stage.EnteredAsync(stop);
        var later = await Servers.States.NextAsync<ScheduledState>(id, stop);
        await Servers.States.NextAsync<ScheduledState>(id, stop, nth: 2);

        Assert.That(
            later.Reason,
            Does.Match(@$"^Rescheduled, since it had been started before: sync\({stage.Id}\) is held by Hangfire job {id} on server-0 since [^;]+; next try in 1 s$"));
        await EndsWellAsync(id, stage, stop);
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_rescheduled_and_never_skipped_by_another_server(CancellationToken stop)
    {
        var stage = NewStage();
        await using var alone = HangfireServers.Start(
            await AssemblySetup.Server.CreateDatabaseAsync("refetched", stop), Setup with { Workers = 1 });
        var id = alone.Enqueue<SyncJob>(job => job.RunOrSkip(stage.Id));
        await stage.EnteredAsync(stop);

        // The only worker of the first server is in the run.
        alone.Add().StartServer();
        var later = await alone.States.NextAsync<ScheduledState>(id, stop);
        await alone.States.NextAsync<ScheduledState>(id, stop, nth: 2);

        Assert.That(
            later.Reason,
            Does.Match(@$"^Rescheduled, since it had been started before: sync\({stage.Id}\) is held by server-0 \(backend \d+ from [^;]+; next try in 1 s$"));
        await EndsWellAsync(id, stage, stop, alone);
    }

    private async Task EndsWellAsync(string id, Stage stage, CancellationToken stop, HangfireServers? servers = null)
    {
        servers ??= Servers;
        var runsMeanwhile = stage.Runs;
        stage.LetLeave();
        await servers.States.NextAsync<SucceededState>(id, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(runsMeanwhile, Is.EqualTo(1));
            // What the first run returned counts no more after the second fetch, so there may be others, one after the other.
            Assert.That(stage.Runs, Is.InRange(1, servers.States.Of(id).OfType<ProcessingState>().Count()));
            Assert.That(stage.MostAtOnce, Is.EqualTo(1));
            Assert.That(servers.States.NamesOf(id), Has.None.EqualTo(DeletedState.StateName).And.None.EqualTo(FailedState.StateName));
            Assert.That(servers.Parameter(id, "RetryCount"), Is.Null);
        }
    }
}
