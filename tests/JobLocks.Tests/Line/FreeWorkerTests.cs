using JobLocks.Gate;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Line;

/// <summary>The store of a run is told by a process that has a free worker for its queue.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class FreeWorkerTests : LineFixture
{
    [Test]
    public async Task Leaves_a_wake_to_the_process_that_has_a_free_worker_for_the_queue(CancellationToken stop)
    {
        var busy = Open();
        var elsewhere = new RunsOfTest { Id = Runs.Id, FreeQueues = ["reports"] };
        OpenFor(elsewhere);
        var holding = await busy.TryAcquireAsync(Name, stop);
        await ParkInAsync(busy, "reports", stop);
        Runs.FreeQueues = ["default"];

        await holding!.DisposeAsync();

        Assert.That((await elsewhere.NextAsync(stop)).Address.Run, Is.EqualTo("1"));
        Assert.That(Runs.Woken, Is.Zero);
    }

    [Test]
    public async Task Wakes_as_soon_as_a_worker_becomes_free(CancellationToken stop)
    {
        var busy = Open(static options => options.SweepInterval = TimeSpan.FromMinutes(1));
        var holding = await busy.TryAcquireAsync(Name, stop);
        await ParkInAsync(busy, "reports", stop);
        Runs.FreeQueues = [];

        await holding!.DisposeAsync();
        while (await LockTable.AskAsync(Database, "SELECT count(*) FROM joblocks.line WHERE name = $1 AND woken IS NOT NULL", Name) is 0L) await Task.Delay(10, stop);
        var wokenMeanwhile = Runs.Woken;
        Runs.FreeQueues = ["reports"];
        Runs.WorkerFreed();

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("1"));
        Assert.That(wokenMeanwhile, Is.Zero);
    }

    [Test]
    public async Task Tells_the_store_in_the_end_though_no_worker_is_free(CancellationToken stop)
    {
        var busy = Open();
        var holding = await busy.TryAcquireAsync(Name, stop);
        await ParkInAsync(busy, "of another application", stop);
        Runs.FreeQueues = ["default"];

        await holding!.DisposeAsync();

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("1"));
    }

    private async Task ParkInAsync(ILockKeeper locks, string queue, CancellationToken stop)
    {
        var standing = await locks.Line.StandAsync(new(Runs.Id, "1", queue), new(Name, Key), default, blocks: false, stop);
        await locks.Line.ParkAsync(standing.Place!, blocks: false, stop);
    }
}
