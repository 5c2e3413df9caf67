using JobLocks.Locks;
using JobLocks.Rules;
using JobLocks.Tests.Support;
using JobLocks.WaitQueue;

namespace JobLocks.Tests.Contract;

/// <summary>The entries of the wait queue.</summary>
[CancelAfter(60_000)]
public abstract class WaitQueueContract : ContractFixture
{
    private static readonly WaitRules KeepsOne = new(AtMost: null, Keep: 1, KeepsNewest: false);

    private protected WaitQueueContract(ContractBackend backend)
        : base(backend)
    {
    }

    [Test]
    public async Task Enters_runs_in_the_order_of_arrival(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        var before = DateTimeOffset.UtcNow;

        var first = await Queue.EnqueueAsync(AddressOf(0), Request, default, blocks: false, stop);
        var second = await Queue.EnqueueAsync(AddressOf(1), Request, default, blocks: true, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await Queue.IsUsableAsync(blocks: false, stop), Is.True);
            Assert.That((first.Ahead, second.Ahead), Is.EqualTo((0, 1)));
            Assert.That((first.IsNewEntry, second.IsNewEntry), Is.EqualTo((true, true)));
            Assert.That(second.Entry!.Number, Is.GreaterThan(first.Entry!.Number));
            Assert.That(second.Entry.Key, Is.EqualTo(Key));
            Assert.That((second.Entry.BypassesQueue, second.Entry.IsOverdue, second.Entry.SkipReason), Is.EqualTo((false, false, (string?)null)));
            Assert.That(second.Entry.Since, Is.InRange(before - TimeSpan.FromSeconds(1), DateTimeOffset.UtcNow + TimeSpan.FromSeconds(1)));
            Assert.That(second.Entry.Request!.Run, Is.EqualTo(AddressOf(1)));
        }
    }

    [Test]
    public async Task Keeps_the_position_of_a_run_that_enters_again(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        var first = await ParkAsync(0, stop);
        await ParkAsync(1, stop);

        var again = await Queue.EnqueueAsync(AddressOf(0), Request, default, blocks: false, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(again.Entry!.Number, Is.EqualTo(first.Number));
            Assert.That(again.Entry.Since, Is.EqualTo(first.Since));
            Assert.That((again.Ahead, again.IsNewEntry, again.FormerKey), Is.EqualTo((0, false, (LockKey?)null)));
        }
    }

    [Test]
    public async Task Reports_the_lock_for_which_a_run_waited_before(CancellationToken stop)
    {
        var other = new LockRequest($"{Name} other", LockKey.Of($"{Name} other"));
        await using var held = await HoldAsync(stop);
        var former = await ParkAsync(0, stop);

        var moved = await Queue.EnqueueAsync(AddressOf(0), other, default, blocks: false, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(moved.FormerKey, Is.EqualTo(Key));
            Assert.That(moved.Entry!.Key, Is.EqualTo(other.Key));
            Assert.That(moved.Entry.Number, Is.EqualTo(former.Number));
        }
    }

    [Test]
    public async Task Finds_the_entry_of_a_waiting_run_only(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        var entry = await ParkAsync(0, stop);

        var found = await Queue.FindAsync(AddressOf(0), blocks: false, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That((found!.Number, found.Key, found.BypassesQueue, found.Since), Is.EqualTo((entry.Number, Key, false, entry.Since)));
            Assert.That(await Queue.FindAsync(AddressOf(1), blocks: true, stop), Is.Null);
        }
    }

    [Test]
    public async Task Removes_the_entry_of_a_run_that_leaves(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        var entry = await ParkAsync(0, stop);

        await Queue.DequeueAsync(entry, blocks: false, stop);

        Assert.That(await Queue.FindAsync(AddressOf(0), blocks: false, stop), Is.Null);
    }

    [Test]
    public async Task Has_no_room_for_more_runs_than_the_rule_keeps(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        await ParkAsync(0, stop);

        var refused = await Queue.EnqueueAsync(AddressOf(1), Request, KeepsOne, blocks: false, stop);
        var again = await Queue.EnqueueAsync(AddressOf(0), Request, KeepsOne, blocks: false, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That((refused.Entry, refused.Ahead), Is.EqualTo(((QueueEntry?)null, 1)));
            Assert.That(again.Entry, Is.Not.Null, "a run that has an entry keeps it");
        }
    }

    [Test]
    public async Task Has_no_room_for_more_runs_than_the_options_allow(CancellationToken stop)
    {
        Configure(static options => options.LongestWaitQueue = 2);
        await using var held = await HoldAsync(stop);
        for (var i = 0; i < 2; i++) await ParkAsync(i, stop);

        var refused = await Queue.EnqueueAsync(AddressOf(2), Request, default, blocks: false, stop);
        var keepsMore = await Queue.EnqueueAsync(AddressOf(2), Request, KeepsOne with { Keep = 5 }, blocks: false, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That((refused.Entry, refused.Ahead), Is.EqualTo(((QueueEntry?)null, 2)));
            Assert.That(keepsMore.Entry, Is.Null);
        }
    }

    [Test]
    public async Task Drops_the_oldest_waiting_run_for_a_newer_one(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        await ParkAsync(0, stop);

        var newest = await Queue.ReplaceOldestAsync(AddressOf(1), Request, KeepsOne with { KeepsNewest = true }, blocks: false, stop);
        var woken = await NextWokenAsync(stop);
        var dropped = await Queue.FindAsync(AddressOf(0), blocks: false, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(newest.Entry, Is.Not.Null);
            Assert.That(newest.Ahead, Is.Zero, "the dropped run does not count");
            Assert.That(woken, Is.Zero, "the dropped run is woken to end");
            Assert.That(dropped!.SkipReason, Is.EqualTo($"Skipped: a newer run has replaced it in the queue of {Name}"));
        }
    }

    [Test]
    public async Task Drops_no_run_for_a_newer_one_that_has_no_room_itself(CancellationToken stop)
    {
        Configure(static options => options.LongestWaitQueue = 2);
        await using var held = await HoldAsync(stop);
        for (var i = 0; i < 2; i++) await ParkAsync(i, stop);

        var newest = await Queue.ReplaceOldestAsync(AddressOf(2), Request, KeepsOne with { KeepsNewest = true }, blocks: false, stop);
        var oldest = await Queue.FindAsync(AddressOf(0), blocks: false, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(newest.Entry, Is.Null);
            Assert.That(oldest!.SkipReason, Is.Null);
        }
    }

    [Test]
    public async Task Drops_no_run_where_there_is_room(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);

        var entered = await Queue.ReplaceOldestAsync(AddressOf(0), Request, KeepsOne with { KeepsNewest = true }, blocks: true, stop);

        Assert.That((entered.Entry is null, entered.Ahead, entered.IsNewEntry), Is.EqualTo((false, 0, true)));
    }

    [Test]
    public async Task Forgets_the_verdict_of_an_earlier_run_of_the_same_name(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        await ParkAsync(0, stop);
        await Queue.ReplaceOldestAsync(AddressOf(1), Request, KeepsOne, blocks: false, stop);

        var sameRun = await Queue.EnqueueAsync(AddressOf(0), Request, default, blocks: false, stop);
        await Queue.MarkParkedAsync(sameRun.Entry!, blocks: false, stop);
        var newRun = await Queue.EnqueueAsync(AddressOf(0) with { IsNewRun = true }, Request, default, blocks: false, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(sameRun.Entry!.SkipReason, Is.Not.Null);
            Assert.That(newRun.Entry!.SkipReason, Is.Null);
            Assert.That(newRun.Entry.Since, Is.GreaterThan(sameRun.Entry.Since));
        }
    }

    [Test]
    public async Task Reports_a_run_that_has_waited_as_long_as_it_may_as_overdue(CancellationToken stop)
    {
        SweepOften();
        await using var held = await HoldAsync(stop);
        var limited = await Queue.EnqueueAsync(AddressOf(0), Request, new(TimeSpan.FromMilliseconds(100), 0, KeepsNewest: false), blocks: false, stop);
        await Queue.MarkParkedAsync(limited.Entry!, blocks: false, stop);

        var woken = await NextWokenAsync(stop);
        var found = await Queue.FindAsync(AddressOf(0), blocks: false, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(woken, Is.Zero);
            Assert.That(limited.Entry!.Request!.AtMost, Is.EqualTo(TimeSpan.FromMilliseconds(100)).Within(TimeSpan.FromMilliseconds(1)));
            Assert.That((found!.IsOverdue, found.BypassesQueue), Is.EqualTo((true, false)));
        }
    }

    [Test]
    public async Task Restores_the_entry_of_a_run_that_was_removed_while_its_store_parked_it(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        var entry = await EnqueueAsync(0, Request, stop);
        await EnqueueAsync(1, Request, stop);
        await Queue.DequeueAsync(entry, blocks: false, stop);

        await Queue.MarkParkedAsync(entry, blocks: false, stop);

        var found = await Queue.FindAsync(AddressOf(0), blocks: false, stop);
        Assert.That((found!.Number, found.Key, found.Since), Is.EqualTo((entry.Number, Key, entry.Since)));
    }

    [Test]
    public async Task Confirms_the_waiters_that_their_store_has(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        for (var i = 0; i < 2; i++) await ParkAsync(i, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await Queue.CheckWaitersAsync(Key, 1, blocks: false, stop), Is.EqualTo(WaiterCheckResult.AllExist));
            Assert.That(await Queue.CheckCountedWaitersAsync(Key, 2, blocks: true, stop), Is.EqualTo(WaiterCheckResult.AllExist));
            Assert.That(Runs.Questions, Does.Contain(1).And.Contain(2));
        }
    }

    [TestCase(true)]
    [TestCase(false)]
    public async Task Removes_the_waiters_that_their_store_does_not_have(bool counted, CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        for (var i = 0; i < 2; i++) await ParkAsync(i, stop);
        Runs.State = static run => run.Address.Run is "0" ? ParkedRunState.Gone : ParkedRunState.Parked;

        var result = counted ? await Queue.CheckCountedWaitersAsync(Key, 2, blocks: false, stop) : await Queue.CheckWaitersAsync(Key, 2, blocks: false, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(result, Is.EqualTo(WaiterCheckResult.SomeRemoved));
            Assert.That(await Queue.FindAsync(AddressOf(0), blocks: false, stop), Is.Null);
            Assert.That(await Queue.FindAsync(AddressOf(1), blocks: false, stop), Is.Not.Null);
        }
    }

    [Test]
    public async Task Confirms_no_waiters_that_have_started_and_left_their_entry([Values] bool counted, CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        await ParkAsync(0, stop);
        Runs.State = static _ => ParkedRunState.Started;

        var result = counted ? await Queue.CheckCountedWaitersAsync(Key, 1, blocks: false, stop) : await Queue.CheckWaitersAsync(Key, 1, blocks: false, stop);

        Assert.That(result, Is.EqualTo(WaiterCheckResult.Unconfirmed));
    }

    [Test]
    public async Task Removes_an_entry_that_its_run_has_left_behind(CancellationToken stop)
    {
        SweepOften();
        await using var held = await HoldAsync(stop);
        await ParkAsync(0, stop);
        await ParkAsync(1, stop);
        Runs.State = static run => run.Address.Run is "0" ? ParkedRunState.Started : ParkedRunState.Parked;

        while (await Queue.FindAsync(AddressOf(0), blocks: false, stop) is not null) await Task.Delay(50, stop);

        Assert.That(await Queue.FindAsync(AddressOf(1), blocks: false, stop), Is.Not.Null);
    }

    [Test]
    public async Task Removes_the_entry_of_a_run_that_could_not_leave_itself(CancellationToken stop)
    {
        SweepOften();
        await using var held = await HoldAsync(stop);
        await ParkAsync(0, stop);
        Runs.State = static _ => ParkedRunState.Started;

        Queue.DequeueLater(AddressOf(0));

        while (await Queue.FindAsync(AddressOf(0), blocks: false, stop) is not null) await Task.Delay(50, stop);
    }

    [Test]
    public async Task Finds_no_entry_of_a_woken_run_that_was_gone(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        await ParkAsync(0, stop);
        await ParkAsync(1, stop);
        Runs.State = static run => run.Address.Run is "0" ? ParkedRunState.Gone : ParkedRunState.Parked;

        await held.DisposeAsync();
        var woken = await NextWokenAsync(stop);

        Assert.That(await Queue.FindAsync(AddressOf(0), blocks: false, stop), Is.Null);
        await (await EnterAsync(woken, stop)).DisposeAsync();
    }

    [Test]
    public async Task Confirms_no_waiters_whose_store_cannot_be_asked(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        await ParkAsync(0, stop);
        await Queue.EnqueueAsync(new(new RunsOfTest().Id, "1", ""), Request, default, blocks: false, stop);

        var ofAnotherStore = await Queue.CheckWaitersAsync(Key, 2, blocks: false, stop);
        Runs.State = static _ => throw new InvalidOperationException("The store is away.");

        using (Assert.EnterMultipleScope())
        {
            Assert.That(ofAnotherStore, Is.EqualTo(WaiterCheckResult.Unconfirmed));
            Assert.That(await Queue.CheckCountedWaitersAsync(Key, 1, blocks: false, stop), Is.EqualTo(WaiterCheckResult.Unconfirmed));
        }
    }

    [Test]
    public async Task Answers_a_check_without_waiters(CancellationToken stop)
    {
        Assert.That(await Queue.IsUsableAsync(blocks: true, stop), Is.True);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await Queue.CheckWaitersAsync(Key, 1, blocks: false, stop), Is.EqualTo(WaiterCheckResult.SomeRemoved), "no run goes first any more");
            Assert.That(await Queue.CheckCountedWaitersAsync(Key, 1, blocks: false, stop), Is.EqualTo(WaiterCheckResult.AllExist));
        }
    }

    [Test]
    public async Task Removes_the_entries_of_a_store_in_memory_that_is_closed(CancellationToken stop)
    {
        Runs.Id = $"{VolatileStore.Prefix}{Runs.Id}";
        await using var held = await HoldAsync(stop);
        await ParkAsync(0, stop);
        var beingParked = await EnqueueAsync(1, Request, stop);

        Queue.RemoveStore(Runs);
        await Queue.MarkParkedAsync(beingParked, blocks: false, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await Queue.FindAsync(AddressOf(0), blocks: false, stop), Is.Null);
            Assert.That(await Queue.FindAsync(AddressOf(1), blocks: false, stop), Is.Null);
        }
    }
}

/// <summary>The contract over PostgreSQL.</summary>
[TestFixture]
public sealed class PostgresWaitQueueTests() : WaitQueueContract(new PostgresBackend());

/// <summary>The contract in memory.</summary>
[TestFixture]
public sealed class InMemoryWaitQueueTests() : WaitQueueContract(new InMemoryBackend());
