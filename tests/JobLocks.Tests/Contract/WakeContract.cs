using JobLocks.Locks;
using JobLocks.WaitQueue;

namespace JobLocks.Tests.Contract;

/// <summary>Which waiting runs are woken, when, and which requests go before others.</summary>
[CancelAfter(60_000)]
public abstract class WakeContract : ContractFixture
{
    private protected WakeContract(ContractBackend backend)
        : base(backend)
    {
    }

    [Test]
    public async Task Wakes_the_next_run_when_the_lock_is_released(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        var entry = await ParkAsync(0, stop);

        await held.DisposeAsync();
        var woken = await Runs.NextAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(woken.Address, Is.EqualTo(AddressOf(0)));
            Assert.That((woken.Number, woken.Key, woken.Name), Is.EqualTo((entry.Number, Key, Name)));
            Assert.That((woken.IsParked, woken.IsDeliveryClaimed, woken.IsTooLate), Is.EqualTo((true, true, false)));
            Assert.That((await Queue.FindAsync(AddressOf(0), blocks: false, stop))!.BypassesQueue, Is.True);
        }
    }

    [Test]
    public async Task Wakes_each_run_once_and_in_the_order_of_arrival(CancellationToken stop)
    {
        const int Count = 20;
        var held = await HoldAsync(stop);
        for (var i = 0; i < Count; i++) await ParkAsync(i, stop);

        await held.DisposeAsync();
        var order = new List<int>();
        for (var i = 0; i < Count; i++)
        {
            order.Add(await NextWokenAsync(stop));
            await (await EnterAsync(order[^1], stop)).DisposeAsync();
        }

        Assert.That(order, Is.EqualTo(Enumerable.Range(0, Count)));
        Assert.That(Runs.Woken, Is.EqualTo(Count));
    }

    [Test]
    public async Task Lets_no_newcomer_pass_a_woken_run(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        await ParkAsync(0, stop);
        await held.DisposeAsync();
        var woken = await NextWokenAsync(stop);

        var newcomer = await RequestAsync(entry: null, stop);
        var byHand = await Locks.TryAcquireAsync(Name, stop);
        await using var entered = await EnterAsync(woken, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(newcomer.IsRefusedForQueue, Is.True, "the lock is free, and a run waits for it");
            Assert.That(byHand, Is.Null);
            Assert.That(entered.Name, Is.EqualTo(Name));
        }
    }

    [Test]
    public async Task Lets_a_run_with_an_entry_pass_the_later_ones_only(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        var first = await EnqueueAsync(0, Request, stop);
        var second = await EnqueueAsync(1, Request, stop);
        await held.DisposeAsync();

        var behind = await RequestAsync(second, stop);
        var next = await RequestAsync(first, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(behind.IsRefusedForQueue, Is.True);
            Assert.That(next.Refused, Is.Null);
        }

        await Queue.DequeueAsync(first, blocks: false, stop);
        await Queue.DequeueAsync(second, blocks: false, stop);
        await next.Handles[0].DisposeAsync();
    }

    [Test]
    public async Task Wakes_a_run_for_the_one_lock_for_which_it_waits(CancellationToken stop)
    {
        var other = new LockRequest($"{Name} other", LockKey.Of($"{Name} other"));
        var held = await HoldAsync(stop);
        var heldOther = await Locks.TryAcquireAsync(other.Name!, stop);
        await ParkAsync(0, other, stop);
        await ParkAsync(1, stop);
        await held.DisposeAsync();
        Assert.That(await NextWokenAsync(stop), Is.EqualTo(1));
        await heldOther!.DisposeAsync();
        Assert.That(await NextWokenAsync(stop), Is.Zero);

        var entry = await Queue.FindAsync(AddressOf(1), blocks: false, stop);
        var result = await Keeper.TryAcquireAllAsync([Request, other], new() { Run = "1" }, entry, blocks: false, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(result.Refused?.Key, Is.EqualTo(other.Key));
            Assert.That(result.IsRefusedForQueue, Is.True);
        }
    }

    [Test]
    public async Task Passes_the_wake_of_a_run_on_when_the_run_is_parked(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        var parkedLater = await EnqueueAsync(0, Request, stop);
        await held.DisposeAsync();
        // Another name is woken after the first one, so the first wake was processed and not passed on.
        await ParkAndReleaseAsync($"{Name} other", run: 1, stop);
        Assert.That(await NextWokenAsync(stop), Is.EqualTo(1));

        await Queue.MarkParkedAsync(parkedLater, blocks: false, stop);

        Assert.That(await NextWokenAsync(stop), Is.Zero);
    }

    [Test]
    public async Task Wakes_a_run_for_each_free_slot(CancellationToken stop)
    {
        const int Limit = 3;
        var request = new LockRequest(Name, Key, limit: Limit);
        var held = new List<JobLockHandle>();
        for (var i = 0; i < Limit; i++) held.AddRange((await Keeper.TryAcquireAllAsync([request], new() { Run = "holder" }, null, blocks: false, stop)).Handles);
        for (var i = 0; i < Limit + 2; i++) await ParkAsync(i, request, stop);

        foreach (var handle in held) await handle.DisposeAsync();
        var woken = new List<int>();
        for (var i = 0; i < Limit; i++) woken.Add(await NextWokenAsync(stop));

        // Over PostgreSQL, a sweep at the same moment may wake one more, in vain.
        Assert.That(woken, Is.EquivalentTo(Enumerable.Range(0, Limit)));
    }

    [Test]
    public async Task Wakes_readers_together_up_to_the_first_writer(CancellationToken stop)
    {
        var reader = new LockRequest(Name, Key, LockMode.Shared);
        var held = await HoldAsync(stop);
        for (var i = 0; i < 3; i++) await ParkAsync(i, reader, stop);
        await ParkAsync(3, stop);
        await ParkAsync(4, reader, stop);

        await held.DisposeAsync();
        var woken = new List<int>();
        for (var i = 0; i < 3; i++) woken.Add(await NextWokenAsync(stop));
        await ParkAndReleaseAsync($"{Name} other", run: 100, stop);

        Assert.That(woken, Is.EquivalentTo(Enumerable.Range(0, 3)));
        Assert.That(await NextWokenAsync(stop), Is.EqualTo(100));
    }

    [Test]
    public async Task Wakes_the_writer_when_the_last_reader_has_released(CancellationToken stop)
    {
        var first = await Locks.TryAcquireAsync(Name, LockMode.Shared, stop);
        var second = await Locks.TryAcquireAsync(Name, LockMode.Shared, stop);
        await ParkAsync(0, stop);
        await first!.DisposeAsync();
        await ParkAndReleaseAsync($"{Name} other", run: 100, stop);
        Assert.That(await NextWokenAsync(stop), Is.EqualTo(100));

        await second!.DisposeAsync();

        Assert.That(await NextWokenAsync(stop), Is.Zero);
    }

    [Test]
    public async Task Wakes_the_next_run_in_place_of_one_that_is_gone(CancellationToken stop)
    {
        Runs.State = static run => run.Address.Run is "0" or "1" ? ParkedRunState.Gone : ParkedRunState.Parked;
        var held = await HoldAsync(stop);
        for (var i = 0; i < 3; i++) await ParkAsync(i, stop);

        await held.DisposeAsync();

        Assert.That(await NextWokenAsync(stop), Is.EqualTo(2));
        Assert.That((await Keeper.Inspection.GetWaitingAsync(Key, stop: stop)).Items.Select(static run => run.Run), Is.EqualTo(["2"]));
    }

    [Test]
    public async Task Wakes_the_next_run_in_place_of_one_that_was_paused_by_hand(CancellationToken stop)
    {
        Runs.State = static run => run.Address.Run is "0" ? ParkedRunState.Paused : ParkedRunState.Parked;
        var held = await HoldAsync(stop);
        for (var i = 0; i < 2; i++) await ParkAsync(i, stop);

        await held.DisposeAsync();
        var woken = await NextWokenAsync(stop);
        await using var entered = await EnterAsync(woken, stop);

        Assert.That(woken, Is.EqualTo(1));
        Assert.That(await Queue.FindAsync(AddressOf(0), blocks: false, stop), Is.Not.Null, "it keeps its position");
    }

    [Test]
    public async Task Wakes_the_next_run_after_one_that_did_not_use_its_lock(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        for (var i = 0; i < 2; i++) await ParkAsync(i, stop);
        await held.DisposeAsync();
        Assert.That(await NextWokenAsync(stop), Is.Zero);

        await Queue.DequeueAsync((await Queue.FindAsync(AddressOf(0), blocks: false, stop))!, blocks: false, stop);
        Queue.WakeNext(Key);

        Assert.That(await NextWokenAsync(stop), Is.EqualTo(1));
    }

    [Test]
    public async Task Wakes_a_run_again_that_was_refused_after_its_wake(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        var first = await ParkAsync(0, stop);
        await held.DisposeAsync();
        var woken = await NextWokenAsync(stop);
        await using (await EnterAsync(woken, stop))
        {
            var again = await ParkAsync(0, stop);
            Assert.That(again.Number, Is.GreaterThan(first.Number), "the run had left the queue");
        }

        Assert.That(await NextWokenAsync(stop), Is.Zero);
    }

    [Test]
    public async Task Lets_the_next_run_pass_a_woken_run_that_does_not_start(CancellationToken stop)
    {
        SweepOften();
        Configure(static options => options.WakeTimeout = TimeSpan.FromMilliseconds(300));
        var held = await HoldAsync(stop);
        var late = new RunAddress(Runs.Id, "0", "slow");
        await Queue.MarkParkedAsync((await Queue.EnqueueAsync(late, Request, default, blocks: false, stop)).Entry!, blocks: false, stop);
        await ParkAsync(1, stop);

        await held.DisposeAsync();
        Assert.That(await NextWokenAsync(stop), Is.Zero);
        var next = await NextWokenAsync(stop);
        await using var entered = await EnterAsync(next, stop);

        Assert.That(next, Is.EqualTo(1));
        Assert.That(await Queue.FindAsync(late, blocks: false, stop), Is.Not.Null, "it keeps its position");
    }

    [Test]
    public async Task Wakes_a_run_later_whose_store_has_failed(CancellationToken stop)
    {
        SweepOften();
        var failed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var held = await HoldAsync(stop);
        await ParkAsync(0, stop);
        Runs.State = _ =>
        {
            failed.TrySetResult();
            throw new InvalidOperationException("The store is away.");
        };

        await held.DisposeAsync();
        await failed.Task.WaitAsync(Patience, stop);
        Runs.State = static _ => ParkedRunState.Parked;

        Assert.That(await NextWokenAsync(stop), Is.Zero);
    }

    [Test]
    public async Task Wakes_no_run_twice_whose_store_lost_its_answer(CancellationToken stop)
    {
        var reader = new LockRequest(Name, Key, LockMode.Shared);
        var held = await HoldAsync(stop);
        for (var i = 0; i < 3; i++) await ParkAsync(i, reader, stop);
        Runs.LosesNextAnswer = true;

        await held.DisposeAsync();
        for (var i = 0; i < 3; i++) await NextWokenAsync(stop);
        await ParkAndReleaseAsync($"{Name} other", run: 100, stop);
        Assert.That(await NextWokenAsync(stop), Is.EqualTo(100));

        Assert.That(Runs.Woken, Is.EqualTo(4));
    }

    [Test]
    public async Task Lets_all_pass_the_runs_of_a_store_that_is_closed(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        await ParkAsync(0, stop);
        var waiting = Locks.AcquireAsync(Name, Patience, stop);

        Queue.RemoveStore(Runs);
        await held.DisposeAsync();

        await using var handle = await waiting.WaitAsync(Patience, stop);
        Assert.That(await Queue.FindAsync(AddressOf(0), blocks: false, stop), Is.Not.Null, "its store may be served again");
    }

    [Test]
    public async Task Wakes_the_runs_of_a_store_that_is_served_again(CancellationToken stop)
    {
        SweepOften();
        var held = await HoldAsync(stop);
        await ParkAsync(0, stop);
        Queue.RemoveStore(Runs);
        await held.DisposeAsync();
        await (await Locks.AcquireAsync(Name, Patience, stop)).DisposeAsync();

        Queue.AddStore(Runs);

        Assert.That(await NextWokenAsync(stop), Is.Zero);
    }

    [Test]
    public async Task Lets_all_pass_the_runs_of_a_scheduler_that_is_stopped(CancellationToken stop)
    {
        SweepOften();
        var held = await HoldAsync(stop);
        await ParkAsync(0, stop);
        Runs.CanStart = false;
        Queue.AddStore(Runs);

        await held.DisposeAsync();
        await (await Locks.AcquireAsync(Name, Patience, stop)).DisposeAsync();
        Runs.CanStart = true;
        Queue.AddStore(Runs);

        Assert.That(await NextWokenAsync(stop), Is.Zero);
    }

    /// <summary>Has a run wait for another lock, and releases that lock.</summary>
    private async Task ParkAndReleaseAsync(string name, int run, CancellationToken stop)
    {
        var held = await Locks.TryAcquireAsync(name, stop);
        await ParkAsync(run, new(name, LockKey.Of(name)), stop);
        await held!.DisposeAsync();
    }
}

/// <summary>The contract over PostgreSQL.</summary>
[TestFixture]
public sealed class PostgresWakeTests() : WakeContract(new PostgresBackend());

/// <summary>The contract in memory.</summary>
[TestFixture]
public sealed class InMemoryWakeTests() : WakeContract(new InMemoryBackend());
