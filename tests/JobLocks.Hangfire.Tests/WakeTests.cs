using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>How soon a run starts whose turn has come, where Hangfire itself looks for jobs once a minute.</summary>
[TestFixture]
public sealed class WakeTests : RealServers
{
    private static readonly TimeSpan LongBeforeThePoll = TimeSpan.FromSeconds(20);

    private protected override HangfireSetup Setup => new() { Servers = 1, QueuePollInterval = TimeSpan.FromMinutes(1) };

    [Test, CancelAfter(90_000)]
    public async Task Starts_all_readers_at_once_when_their_lock_is_released(CancellationToken stop)
    {
        var stage = NewStage();
        var held = await Servers[0].Locks!.TryAcquireAsync(stage.LockName, stop);
        for (var i = 0; i < 3; i++) await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.Read(stage.Id, i)), stop);

        await held!.DisposeAsync();

        await stage.EnteredAsync(stop, 3, LongBeforeThePoll);
        stage.LetLeave();
    }

    [Test, CancelAfter(90_000)]
    public async Task Starts_the_runs_of_several_names_at_once_that_are_released_together(CancellationToken stop)
    {
        Stage[] stages = [NewStage(), NewStage(), NewStage()];
        var held = await Servers[0].Locks!.TryAcquireAllAsync(stages.Select(static stage => stage.LockName), stop);
        foreach (var stage in stages) await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop);

        await held!.DisposeAsync();

        foreach (var stage in stages)
        {
            await stage.EnteredAsync(stop, atMost: LongBeforeThePoll);
            stage.LetLeave();
        }
    }
}
