using JobLocks.Gate;
using JobLocks.Tests.Support;
using JobLocks.WaitQueue;

namespace JobLocks.Tests.WaitQueue;

/// <summary>No run is dropped on account of others before their stores have said that they still have them.</summary>
[TestFixture]
public sealed class WaiterCheckTests : WaitQueueFixture
{
    [Test, CancelAfter(60_000)]
    public async Task Waits_where_the_run_that_was_counted_is_gone([Values] bool keepsNewest, CancellationToken stop)
    {
        var locks = Open();
        await using var holding = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);
        Runs.State = static run => run.Address.Run is "1" ? ParkedRunState.Gone : ParkedRunState.Parked;

        var came = await EnterAsync(locks, 2, Rule with { KeepWaiting = 1 } with { KeepNewest = keepsNewest }, stop);

        Assert.That(came, Is.InstanceOf<Admission.Waits>());
        Assert.That(await LengthAsync(), Is.EqualTo(1));
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_skipped_where_the_run_that_was_counted_is_there(CancellationToken stop)
    {
        var locks = Open();
        await using var holding = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);

        var came = await EnterAsync(locks, 2, Rule with { KeepWaiting = 1 }, stop);

        Assert.That(came, Is.InstanceOf<Admission.Refused>().With.Property(nameof(Admission.Refused.Action)).EqualTo(OnConflict.Skip));
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_rescheduled_where_no_store_confirms_the_run_that_was_counted([Values] bool keepsNewest, CancellationToken stop)
    {
        var locks = Open();
        var other = Open();
        ((ILockBackend)other).WaitQueue.RemoveStore(Runs);
        var elsewhere = new RunsOfTest();
        ((ILockBackend)other).WaitQueue.AddStore(elsewhere);
        await using var holding = await locks.TryAcquireAsync(Name, stop);
        await ((ILockBackend)other).WaitQueue.EnqueueAsync(new(elsewhere.Id, "1", ""), new(Name, Key), default, blocks: false, stop);

        var came = await EnterAsync(locks, 2, Rule with { KeepWaiting = 1 } with { KeepNewest = keepsNewest }, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(came, Is.InstanceOf<Admission.Refused>().With.Property(nameof(Admission.Refused.Action)).EqualTo(OnConflict.Reschedule));
            Assert.That(await LockTable.AskAsync(Database, "SELECT count(*) FROM joblocks.wait_queue WHERE name = $1 AND verdict IS NULL", Name), Is.EqualTo(1));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_rescheduled_where_the_store_cannot_be_asked(CancellationToken stop)
    {
        var locks = Open();
        await using var holding = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);
        Runs.State = static _ => throw new InvalidOperationException("The store is away.");

        var came = await EnterAsync(locks, 2, Rule with { KeepWaiting = 1 }, stop);

        Assert.That(came, Is.InstanceOf<Admission.Refused>().With.Property(nameof(Admission.Refused.Action)).EqualTo(OnConflict.Reschedule));
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_admitted_where_the_run_that_comes_now_is_gone([Values(OnConflict.Skip, OnConflict.Fail)] OnConflict what, CancellationToken stop)
    {
        var locks = Open(static options => options.SweepInterval = TimeSpan.FromMinutes(1));
        var holding = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);
        await holding!.DisposeAsync();
        await Runs.NextAsync(stop);
        Runs.State = static _ => ParkedRunState.Gone;

        var came = await EnterAsync(locks, 2, Rule with { OnConflict = what }, stop);

        Assert.That(came, Is.InstanceOf<Admission.Admitted>());
        foreach (var handle in ((Admission.Admitted)came).Handles) await handle.DisposeAsync();
    }
}
