using System.Diagnostics;
using JobLocks.Gate;
using JobLocks.Naming;
using JobLocks.Rules;
using JobLocks.Tests.Support;
using JobLocks.WaitQueue;

namespace JobLocks.Tests.Contract;

/// <summary>The gate over the locks, as a scheduler uses it.</summary>
[CancelAfter(60_000)]
public abstract class GateContract : ContractFixture
{
    private static readonly JobSignature Job = JobSignature.Of(typeof(ClientSync));

    private protected GateContract(ContractBackend backend)
        : base(backend)
    {
    }

    private JobGate Gate => JobGate.To(Locks);

    private LockDeclaration Waits => new(Name, OnConflict.Wait, 15);

    [Test]
    public async Task Admits_a_run_whose_lock_is_free(CancellationToken stop)
    {
        var call = Call(0, Waits);

        var admission = await Gate.TryEnterAsync(call, stop);
        var holder = await Keeper.FindHolderAsync(Request, blocks: false, stop);
        ((Admission.Admitted)admission).Dispose();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(((Admission.Admitted)admission).First.Name, Is.EqualTo(Name));
            Assert.That(((Admission.Admitted)admission).FormerEntry, Is.Null);
            Assert.That(holder!.Run, Is.EqualTo($"Test job {call.JobId}"));
        }
    }

    [TestCase(OnConflict.Skip, "Skipped: ")]
    [TestCase(OnConflict.Fail, "Failed: ")]
    [TestCase(OnConflict.Reschedule, "Rescheduled: ")]
    public async Task Refuses_a_run_as_its_rule_says_and_names_the_holder(OnConflict declared, string begin, CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);

        var admission = (Admission.Refused)await Gate.TryEnterAsync(Call(0, Waits with { OnConflict = declared }), stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(admission.Action, Is.EqualTo(declared));
            Assert.That(admission.Reason, Does.StartWith($"{begin}{Name} is held by code that acquired it by hand on "));
            Assert.That(admission.RetryAfter, Is.EqualTo(TimeSpan.FromSeconds(15)));
        }
    }

    [Test]
    public async Task Has_a_run_wait_and_admits_it_after_its_wake(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        var call = Call(0, Waits);

        var waits = (Admission.Waits)await Gate.TryEnterAsync(call, stop);
        await Gate.MarkParkedAsync(waits.Entry);
        await held.DisposeAsync();
        Assert.That(await NextWokenAsync(stop), Is.Zero);
        using var admitted = (Admission.Admitted)await Gate.TryEnterAsync(call, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(waits.Position, Is.EqualTo(1));
            Assert.That(waits.Reason, Does.StartWith($"Waiting for {Name}, held by code that acquired it by hand on ").And.EndsWith(", position 1"));
            Assert.That(waits.StartsUnwokenAfter, Is.EqualTo(Queueing.UnwokenStartDelay));
            Assert.That(admitted.FormerEntry!.Number, Is.EqualTo(waits.Entry.Number));
            Assert.That(await Queue.FindAsync(AddressOf(0), blocks: false, stop), Is.Null, "an admitted run has left the queue");
        }
    }

    [Test]
    public async Task Counts_for_how_long_a_lock_was_free_while_a_run_waited(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        var waits = (Admission.Waits)await Gate.TryEnterAsync(Call(0, Waits), stop);
        await Gate.MarkParkedAsync(waits.Entry);
        var releasedAt = Stopwatch.GetTimestamp();
        await held.DisposeAsync();
        await NextWokenAsync(stop);
        ((Admission.Admitted)await Gate.TryEnterAsync(Call(0, Waits), stop)).Dispose();
        var atMost = Stopwatch.GetElapsedTime(releasedAt);

        TimeSpan free;
        while ((free = await FreeInLastHourAsync(stop)) == TimeSpan.Zero) await Task.Delay(TimeSpan.FromMilliseconds(50), stop);

        // The clocks have a resolution of milliseconds.
        Assert.That(free, Is.LessThan(atMost + TimeSpan.FromMilliseconds(20)));
    }

    private async Task<TimeSpan> FreeInLastHourAsync(CancellationToken stop) =>
        (await Keeper.Inspection.GetNameAsync(Key, stop)).LastHour.Aggregate(TimeSpan.Zero, static (sum, minute) => sum + minute.FreeWhileWaiting);

    [Test]
    public void Does_the_same_for_a_scheduler_that_cannot_await(CancellationToken stop)
    {
        var held = Locks.TryAcquire(Name, stop);
        var call = Call(0, Waits);

        var waits = (Admission.Waits)Gate.TryEnter(call, stop);
        Gate.MarkParked(waits.Entry);
        held!.Dispose();
        Assert.That(async () => await NextWokenAsync(stop), Is.Zero);
        using var admitted = (Admission.Admitted)Gate.TryEnter(call, stop);

        Assert.That(admitted.FormerEntry!.Number, Is.EqualTo(waits.Entry.Number));
    }

    [Test]
    public async Task Has_runs_wait_in_the_order_of_arrival(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);

        var positions = new List<int>();
        for (var i = 0; i < 3; i++) positions.Add(((Admission.Waits)await Gate.TryEnterAsync(Call(i, Waits), stop)).Position);

        Assert.That(positions, Is.EqualTo([1, 2, 3]));
    }

    [Test]
    public async Task Has_a_new_run_wait_behind_the_waiting_ones_although_the_lock_is_free(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        await ParkAsync(0, stop);
        await held.DisposeAsync();
        await NextWokenAsync(stop);

        var waits = (Admission.Waits)await Gate.TryEnterAsync(Call(1, Waits), stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(waits.Position, Is.EqualTo(2));
            Assert.That(waits.Reason, Is.EqualTo($"Waiting for {Name}, position 2"));
        }
    }

    [Test]
    public async Task Skips_a_run_beyond_those_that_the_rule_keeps(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        await ParkAsync(0, stop);

        var admission = (Admission.Refused)await Gate.TryEnterAsync(Call(1, Waits with { KeepWaiting = 1 }), stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(admission.Action, Is.EqualTo(OnConflict.Skip));
            Assert.That(admission.Reason, Is.EqualTo($"Skipped: 1 run waits for {Name} already, and its rule keeps 1"));
        }
    }

    [Test]
    public async Task Has_a_run_wait_in_place_of_one_that_its_store_does_not_have(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        await ParkAsync(0, stop);
        Runs.State = static run => run.Address.Run is "0" ? ParkedRunState.Gone : ParkedRunState.Parked;

        var admission = await Gate.TryEnterAsync(Call(1, Waits with { KeepWaiting = 1 }), stop);

        Assert.That(admission, Is.InstanceOf<Admission.Waits>());
        Assert.That(await Queue.FindAsync(AddressOf(0), blocks: false, stop), Is.Null);
    }

    [Test]
    public async Task Reschedules_a_run_where_the_store_of_the_waiting_ones_cannot_be_asked(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        await ParkAsync(0, stop);
        Runs.State = static _ => throw new InvalidOperationException("The store is away.");

        var admission = (Admission.Refused)await Gate.TryEnterAsync(Call(1, Waits with { KeepWaiting = 1 }), stop);

        Assert.That(admission.Action, Is.EqualTo(OnConflict.Reschedule));
    }

    [Test]
    public async Task Skips_the_oldest_waiting_run_where_the_rule_keeps_the_newest(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        var rule = Waits with { KeepWaiting = 1 } with { KeepNewest = true };
        var oldest = Call(0, rule);
        await Gate.MarkParkedAsync(((Admission.Waits)await Gate.TryEnterAsync(oldest, stop)).Entry);

        var newest = (Admission.Waits)await Gate.TryEnterAsync(Call(1, rule), stop);
        Assert.That(await NextWokenAsync(stop), Is.Zero);
        var dropped = (Admission.Refused)await Gate.TryEnterAsync(oldest, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(newest.Position, Is.EqualTo(1));
            Assert.That(dropped.Action, Is.EqualTo(OnConflict.Skip));
            Assert.That(dropped.Reason, Is.EqualTo($"Skipped: a newer run has replaced it in the queue of {Name}"));
            Assert.That(await Queue.FindAsync(AddressOf(0), blocks: false, stop), Is.Null);
        }
    }

    [Test]
    public async Task Reschedules_a_run_beyond_the_longest_wait_queue(CancellationToken stop)
    {
        Configure(static options => options.LongestWaitQueue = 1);
        await using var held = await HoldAsync(stop);
        await ParkAsync(0, stop);

        var admission = (Admission.Refused)await Gate.TryEnterAsync(Call(1, Waits), stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(admission.Action, Is.EqualTo(OnConflict.Reschedule));
            Assert.That(admission.Reason, Is.EqualTo($"Rescheduled: 1 run waits for {Name} already, which is the limit; next try in 15 s"));
        }
    }

    [Test]
    public async Task Fails_a_run_that_has_waited_as_long_as_it_may(CancellationToken stop)
    {
        SweepOften();
        await using var held = await HoldAsync(stop);
        var call = Call(0, Waits with { WaitAtMostSeconds = 1 });
        var waits = (Admission.Waits)await Gate.TryEnterAsync(call, stop);
        await Gate.MarkParkedAsync(waits.Entry);
        Assert.That(await NextWokenAsync(stop), Is.Zero);

        var admission = (Admission.Refused)await Gate.TryEnterAsync(call, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(waits.StartsUnwokenAfter, Is.EqualTo(TimeSpan.FromSeconds(1) + Queueing.DelayAfterLongestWait));
            Assert.That(admission.Action, Is.EqualTo(OnConflict.Fail));
            Assert.That(admission.Reason, Does.StartWith($"Failed: it waited for 1 s, as long as it may; {Name} is held by "));
            Assert.That(await Queue.FindAsync(AddressOf(0), blocks: false, stop), Is.Null);
        }
    }

    [Test]
    public async Task Skips_a_run_for_the_waiting_ones_only_where_their_store_has_them([Values] bool isGone, CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        await ParkAsync(0, stop);
        await held.DisposeAsync();
        await NextWokenAsync(stop);
        if (isGone) Runs.State = static _ => ParkedRunState.Gone;

        var admission = await Gate.TryEnterAsync(Call(1, Waits with { OnConflict = OnConflict.Skip }), stop);
        (admission as Admission.Admitted)?.Dispose();

        Assert.That(admission.Outcome, Is.EqualTo(isGone ? "admitted" : "skipped"));
    }

    [Test]
    public async Task Acquires_the_locks_of_all_rules_and_waits_for_the_one_that_is_held(CancellationToken stop)
    {
        var other = $"{Name} other";
        var held = await HoldAsync(stop);
        var call = Call(0, new(other, OnConflict.Wait, 15), Waits);

        var waits = (Admission.Waits)await Gate.TryEnterAsync(call, stop);
        await using (await Locks.TryAcquireAsync(other, stop) ?? throw new InvalidOperationException("A waiting run holds a lock."))
        {
            await Gate.MarkParkedAsync(waits.Entry);
        }

        await held.DisposeAsync();
        Assert.That(await NextWokenAsync(stop), Is.Zero);
        using var admitted = (Admission.Admitted)await Gate.TryEnterAsync(call, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(waits.Entry.Key, Is.EqualTo(Key));
            Assert.That(admitted.Handles.Select(static handle => handle.Name), Is.EqualTo([other, Name]));
        }
    }

    [Test]
    public async Task Has_a_run_wait_again_at_its_position_where_its_scheduler_came_too_late(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        var call = Call(0, Waits);
        var waits = (Admission.Waits)await Gate.TryEnterAsync(call, stop);
        await Gate.MarkParkedAsync(waits.Entry);
        await held.DisposeAsync();
        await NextWokenAsync(stop);
        var admitted = (Admission.Admitted)await Gate.TryEnterAsync(call, stop);
        await ParkAsync(1, stop);

        var again = Gate.WaitAgain(call, admitted)!;
        await Gate.MarkParkedAsync(again.Entry);
        admitted.Dispose();

        Assert.That(again.Entry.Number, Is.EqualTo(waits.Entry.Number));
        await WhenWokenAsync(0, stop);
    }

    [Test]
    public async Task Reschedules_a_run_where_the_locks_were_disposed(CancellationToken stop)
    {
        var gate = Gate;
        await DisposeLocksAsync();

        var admission = (Admission.Refused)await gate.TryEnterAsync(Call(0, Waits with { OnConflict = OnConflict.Skip }), stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(gate.IsClosed, Is.True);
            Assert.That((admission.Action, admission.IsUnavailable), Is.EqualTo((OnConflict.Reschedule, true)));
        }
    }

    [Test]
    public async Task Lets_many_runs_through_one_at_a_time_and_loses_none(CancellationToken stop)
    {
        SweepOften();
        const int Count = 40;
        var (inside, overlaps, ended) = (0, 0, 0);
        var allEnded = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

        var arriving = Enumerable.Range(0, Count).Select(run => Task.Run(() => EnterAsync(run), stop)).ToList();
        var woken = NextWokenAsync(stop);
        while (await Task.WhenAny(allEnded.Task, woken) == woken)
        {
            await EnterAsync(await woken);
            woken = NextWokenAsync(stop);
        }

        await Task.WhenAll(arriving);
        Assert.That((overlaps, ended), Is.EqualTo((0, Count)));

        async Task EnterAsync(int run)
        {
            var admission = await Gate.TryEnterAsync(Call(run, Waits), stop);
            if (admission is Admission.Waits waits) await Gate.MarkParkedAsync(waits.Entry);
            else await RunAsync((Admission.Admitted)admission);
        }

        async Task RunAsync(Admission.Admitted admitted)
        {
            using (admitted)
            {
                if (Interlocked.Increment(ref inside) > 1) Interlocked.Increment(ref overlaps);
                await Task.Yield();
                Interlocked.Decrement(ref inside);
            }

            if (Interlocked.Increment(ref ended) == Count) allEnded.SetResult();
        }
    }

    /// <summary>A run as its scheduler passes it on.</summary>
    private JobCall Call(int run, params LockDeclaration[] rules) => Calls.Call(Job, Name) with
    {
        Rules = [.. rules.Select(static rule => LockRule.For(rule, Job))],
        MayHaveQueueEntry = true,
        Address = _ => AddressOf(run),
    };
}

/// <summary>The contract over PostgreSQL.</summary>
[TestFixture]
public sealed class PostgresGateTests() : GateContract(new PostgresBackend());

/// <summary>The contract in memory.</summary>
[TestFixture]
public sealed class InMemoryGateTests() : GateContract(new InMemoryBackend());
