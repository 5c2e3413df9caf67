using Hangfire;
using JobLocks.Hangfire.Tests.Support;

namespace JobLocks.Hangfire.Tests;

/// <summary>A run that waited starts in a process with a free worker at once, and not when that process next looks into its queues by itself.</summary>
[TestFixture]
public sealed class BusyServerTests : RealServers
{
    private const string Served =
        "SELECT count(*) FROM pg_locks WHERE classid = 1246524276 AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

    private static readonly TimeSpan LongBeforeThePoll = TimeSpan.FromSeconds(15);

    private protected override HangfireSetup Setup => new() { Servers = 0, Workers = 2, QueuePollInterval = TimeSpan.FromMinutes(1) };

    [Test, CancelAfter(60_000)]
    public async Task Starts_in_an_idle_process_where_all_workers_of_the_other_are_busy([Values] bool isHeldByTheBusyOne, CancellationToken stop)
    {
        var (stage, occupied) = (NewStage(), NewStage());
        stage.LetLeave();
        // Both end with their locks: each of them would show the servers of the next case as its own.
        await using var busy = Servers.Add();
        await using var others = AdvisoryLocks.Connect(Servers.Database);
        var held = await (isHeldByTheBusyOne ? busy.Locks! : others).TryAcquireAsync(stage.LockName, stop);
        // Its workers look into the queues when they start, and after each run.
        var waiting = busy.Client.Enqueue<WaitingJob>(job => job.Run(stage.Id));
        for (var i = 0; i < Setup.Workers; i++) busy.Client.Enqueue<WaitingJob>(busy.Name, job => job.Occupy(occupied.Id));
        busy.StartServer();
        for (var i = 1; i <= Setup.Workers; i++) await occupied.EnteredAsync(stop, i);
        await Servers.ParkedAsync(waiting, stop);
        await using var idle = Servers.Add();
        idle.StartServer();
        await Patience.UntilAsync(() => Servers.Locks.AskAsync(Served), static count => count is 2L, stop);

        await held!.DisposeAsync();
        var entry = await stage.EnteredAsync(stop, atMost: LongBeforeThePoll);

        occupied.LetLeave();
        Assert.That(entry.Handle!.Holder.Application, Is.EqualTo(idle.Name));
    }
}
