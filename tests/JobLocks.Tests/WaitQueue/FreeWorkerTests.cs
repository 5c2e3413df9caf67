using System.Globalization;
using JobLocks.Gate;
using JobLocks.Locks;
using JobLocks.Postgres.WaitQueue;
using JobLocks.Primitives;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.WaitQueue;

/// <summary>The store of a run is told by a process that has a free worker for its queue.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class FreeWorkerTests : WaitQueueFixture
{
    [Test]
    public async Task Leaves_a_wake_to_the_process_that_has_a_free_worker_for_the_queue(CancellationToken stop)
    {
        var busy = Open();
        var elsewhere = new RunsOfTest { Id = Runs.Id, FreeWorkers = [new(["reports"], 1)] };
        OpenFor(elsewhere);
        var holding = await busy.TryAcquireAsync(Name, stop);
        await ParkInAsync(busy, "reports", stop);
        Runs.FreeWorkers = [new(["default"], 1)];

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
        Runs.FreeWorkers = [];

        await holding!.DisposeAsync();
        while (await LockTable.AskAsync(Database, "SELECT count(*) FROM joblocks.wait_queue WHERE name = $1 AND woken IS NOT NULL", Name) is 0L) await Task.Delay(10, stop);
        var wokenMeanwhile = Runs.Woken;
        Runs.FreeWorkers = [new(["reports"], 1)];
        Runs.WorkerFreed();

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("1"));
        Assert.That(wokenMeanwhile, Is.Zero);
    }

    [Test]
    public async Task Counts_the_lock_as_free_from_the_wake_although_a_worker_became_free_later(CancellationToken stop)
    {
        var busy = Open(static options => options.SweepInterval = TimeSpan.FromMinutes(1));
        var holding = await busy.TryAcquireAsync(Name, stop);
        await ParkInAsync(busy, "reports", stop);
        Runs.FreeWorkers = [];
        await holding!.DisposeAsync();
        while (await LockTable.AskAsync(Database, "UPDATE joblocks.wait_queue SET woken = woken - interval '5 s' WHERE name = $1 AND woken IS NOT NULL RETURNING 1", Name) is null) await Task.Delay(10, stop);

        Runs.FreeWorkers = [new(["reports"], 1)];
        Runs.WorkerFreed();
        await Runs.NextAsync(stop);
        var entry = await ((ILockBackend)busy).WaitQueue.FindAsync(new(Runs.Id, "1", "reports"), blocks: false, stop);

        Assert.That(BootClock.Now - entry!.WokenAt, Is.GreaterThan(TimeSpan.FromSeconds(4)));
    }

    [Test]
    public async Task Tells_the_store_in_the_end_though_no_worker_is_free(CancellationToken stop)
    {
        var busy = Open();
        var holding = await busy.TryAcquireAsync(Name, stop);
        await ParkInAsync(busy, "of another application", stop);
        Runs.FreeWorkers = [new(["default"], 1)];

        await holding!.DisposeAsync();

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("1"));
    }

    [Test]
    public async Task Wakes_no_more_runs_than_it_has_free_workers_and_leaves_the_others_to_an_idle_process(CancellationToken stop)
    {
        var nearlyBusy = await OpenLeaderAsync(stop);
        var idle = new RunsOfTest { Id = Runs.Id, FreeWorkers = [new(["default"], 5)] };
        OpenFor(idle);
        var holding = await nearlyBusy.TryAcquireAsync(Name, stop);
        for (var run = 1; run <= 4; run++) await ParkReaderAsync(nearlyBusy, run, stop);
        Runs.FreeWorkers = [new(["default"], 1)];

        await holding!.DisposeAsync();

        List<string> elsewhere = [];
        for (var i = 0; i < 3; i++) elsewhere.Add((await idle.NextAsync(stop)).Address.Run);
        using (Assert.EnterMultipleScope())
        {
            Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("1"));
            Assert.That(elsewhere, Is.EquivalentTo(["2", "3", "4"]));
            Assert.That(Runs.Woken, Is.EqualTo(1));
        }
    }

    [Test]
    public async Task Counts_a_run_that_it_has_woken_and_that_has_not_begun_as_one_that_needs_a_worker(CancellationToken stop)
    {
        var nearlyBusy = await OpenLeaderAsync(stop);
        var idle = new RunsOfTest { Id = Runs.Id, FreeWorkers = [new(["default"], 5)] };
        OpenFor(idle);
        var second = $"{Name} second";
        var (one, two) = (await nearlyBusy.TryAcquireAsync(Name, stop), await nearlyBusy.TryAcquireAsync(second, stop));
        await ParkInAsync(nearlyBusy, "default", stop);
        await ParkAsync(nearlyBusy, "2", new(second, LockKey.Of(second)), stop);
        Runs.FreeWorkers = [new(["default"], 1)];

        await one!.DisposeAsync();
        var here = await Runs.NextAsync(stop);
        await two!.DisposeAsync();

        Assert.That((await idle.NextAsync(stop)).Address.Run, Is.EqualTo("2"));
        Assert.That(here.Address.Run, Is.EqualTo("1"));
    }

    [Test]
    public async Task Wakes_the_next_where_a_run_that_it_has_woken_has_left_the_queue(CancellationToken stop)
    {
        var alone = Open(static options => options.SweepInterval = TimeSpan.FromMinutes(1));
        var holding = await alone.TryAcquireAsync(Name, stop);
        for (var run = 1; run <= 2; run++) await ParkReaderAsync(alone, run, stop);
        Runs.FreeWorkers = [new(["default"], 1)];

        await holding!.DisposeAsync();
        var first = await Runs.NextAsync(stop);
        while (await LockTable.AskAsync(Database, "SELECT count(*) FROM joblocks.wait_queue WHERE name = $1 AND woken IS NOT NULL", Name) is not 2L) await Task.Delay(10, stop);
        var line = ((ILockBackend)alone).WaitQueue;
        await line.DequeueAsync((await line.FindAsync(first.Address, blocks: false, stop))!, blocks: false, stop);
        Runs.WorkerFreed();

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("2"));
    }

    [Test]
    public async Task Tells_a_run_that_a_newer_one_has_replaced_so_when_a_worker_becomes_free(CancellationToken stop)
    {
        var busy = Open(static options => options.SweepInterval = TimeSpan.FromMinutes(1));
        var line = ((ILockBackend)busy).WaitQueue;
        Runs.FreeWorkers = [];
        await using var holding = await busy.TryAcquireAsync(Name, stop);
        await ParkInAsync(busy, "default", stop);
        var asked = Runs.AskedForWorkers;
        await line.ReplaceOldestAsync(new(Runs.Id, "2", "default"), new(Name, Key), new() { Keep = 1, KeepsNewest = true }, blocks: false, stop);
        // It is left for when a worker is free: asked for one, and once more after that.
        while (Runs.AskedForWorkers < asked + 2) await Task.Delay(10, stop);

        Runs.FreeWorkers = [new(["default"], 1)];
        var told = Runs.NextAsync(stop);
        while (!told.IsCompleted)
        {
            Runs.WorkerFreed();
            await Task.WhenAny(told, Task.Delay(10, stop));
        }

        Assert.That((await line.FindAsync((await told).Address, blocks: false, stop))?.SkipReason, Does.StartWith("Skipped"));
    }

    private Task ParkReaderAsync(ILockBackend locks, int run, CancellationToken stop) =>
        ParkAsync(locks, run.ToString(CultureInfo.InvariantCulture), new(Name, Key, LockMode.Shared), stop);

    private Task ParkInAsync(ILockBackend locks, string queue, CancellationToken stop) => ParkAsync(locks, "1", new(Name, Key), stop, queue);

    private async Task ParkAsync(ILockBackend locks, string run, LockRequest request, CancellationToken stop, string queue = "default")
    {
        var standing = await locks.WaitQueue.EnqueueAsync(new(Runs.Id, run, queue), request, default, blocks: false, stop);
        await locks.WaitQueue.MarkParkedAsync(standing.Entry!, blocks: false, stop);
    }

    /// <summary>A process that sweeps: the sweep of an idle one could wake all runs, and not only those that are left to it.</summary>
    private async Task<AdvisoryLocks> OpenLeaderAsync(CancellationToken stop)
    {
        var locks = Open();
        while (await LockTable.AskAsync(Database, "SELECT count(*) FROM pg_locks WHERE classid = 1246524279 AND objid::int = $1 AND granted", SweepLeadership.LockNumber(Runs.Id, 0)) is 0L) await Task.Delay(10, stop);
        return locks;
    }
}
