using Hangfire;
using Hangfire.Common;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;
using JobLocks.WaitQueue;

namespace JobLocks.Hangfire.Tests;

/// <summary>A storage is asked once for the states of many runs.</summary>
[TestFixture]
public sealed class ManyStatesTests : RealServers
{
    private protected override HangfireSetup Setup => new() { Servers = 0 };

    [OneTimeSetUp]
    public void AddClient() => Servers.Add();

    [Test, CancelAfter(60_000)]
    public async Task Knows_which_runs_wait_which_come_and_which_are_gone([Values] bool runByRun, CancellationToken stop)
    {
        var runs = HangfireRuns.Of(Servers[0].Storage);
        var (parked, ofQueue, woken, deleted) = (Park("default"), Park("critical"), Park("default"), Park("default"));
        var missing = woken with { Address = woken.Address with { Run = "999999999" } };
        await runs.WakeAsync([woken], stop);
        Servers.Client.Delete(deleted.Address.Run);
        IReadOnlyList<WaitingRun> asked = [ofQueue, missing, woken, parked, deleted];

        using var connection = Servers[0].Storage.GetConnection();
        IReadOnlyList<ParkedRunState> states = runByRun ? [.. asked.Select(run => HangfireRuns.ReadState(connection, run))] : await runs.GetStatesAsync(asked, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(states, Is.EqualTo([ParkedRunState.Parked, ParkedRunState.Gone, ParkedRunState.StartingAnywhere, ParkedRunState.Parked, ParkedRunState.Gone]));
            Assert.That(JobStatesInPostgres.Read(Servers[0].Storage, asked), Has.Count.EqualTo(asked.Count));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Finds_all_runs_that_are_due_in_one_second(CancellationToken stop)
    {
        var due = DateTime.UtcNow + TimeSpan.FromMinutes(30);
        var job = Job.FromExpression<WaitingJob>(static job => job.Run("x"));
        var parked = Enumerable.Range(0, 250).Select(_ => Servers.Client.Create(job, new ScheduledState(due) { Reason = "Waiting for x, position 1" })).ToList();

        var runs = HangfireRuns.Of(Servers[0].Storage);
        var found = new List<string>();
        string? page = null;
        do
        {
            var next = await runs.FindParkedAsync(page, stop);
            found.AddRange(next.Runs.Select(static run => run.Address.Job!));
            page = next.Next;
        }
        while (page is not null);

        Assert.That(found, Is.SupersetOf(parked));
        foreach (var id in parked) Servers.Client.Delete(id);
    }

    [Test]
    public async Task Leaves_it_to_Hangfire_where_the_tables_are_others()
    {
        await using var process = new HangfireProcess("server-1", Servers.Database, Setup with { Schema = "other" }, new AnnouncedStates());
        var run = Park("default");
        await Servers.Locks.RunAsync("ALTER TABLE other.set RENAME TO sets");

        Assert.That(JobStatesInPostgres.Read(process.Storage, [run]), Is.Null);
    }

    private WaitingRun Park(string queue)
    {
        var job = queue is "default" ? Job.FromExpression<WaitingJob>(static job => job.Run("x")) : Job.FromExpression<WaitingJob>(static job => job.Run("x"), queue);
        var id = Servers.Client.Create(job, new ScheduledState(TimeSpan.FromHours(1)) { Reason = "Waiting for x, position 1" });
        return new(1, LockKey.Of("x"), "x", new("", id, queue), IsParked: true, IsDeliveryClaimed: true, Since: default);
    }
}
