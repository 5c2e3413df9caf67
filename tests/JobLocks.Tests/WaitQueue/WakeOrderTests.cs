using JobLocks.Gate;
using JobLocks.Locks;
using JobLocks.Postgres.WaitQueue;
using JobLocks.Rules;
using JobLocks.Tests.Support;
using JobLocks.WaitQueue;
using Npgsql;

namespace JobLocks.Tests.WaitQueue;

/// <summary>Whose turn comes, how many are woken, and who finds what was missed.</summary>
[TestFixture, CancelAfter(40_000)]
public sealed class WakeOrderTests : WaitQueueFixture
{
    private readonly List<NpgsqlConnection> _others = [];

    private static readonly TimeSpan NotDuringATest = TimeSpan.FromMinutes(1);

    [TearDown]
    public async Task EndOthers()
    {
        foreach (var other in _others) await other.DisposeAsync();
        _others.Clear();
    }

    [Test]
    public async Task Wakes_as_many_as_slots_were_released_at_once(CancellationToken stop)
    {
        const int Limit = 8;
        var locks = await OpenWithoutSweepAsync(stop);
        var request = new LockRequest(Name, Key, LockMode.Exclusive, Limit);
        var held = new List<JobLockHandle>();
        while (held.Count < Limit) held.AddRange((await ((ILockBackend)locks).TryAcquireAllAsync([request], new() { Run = "h" }, null, blocks: false, stop)).Handles);
        for (var i = 0; i < Limit + 2; i++) await ParkAsync(locks, i, request, stop);

        foreach (var handle in held) await handle.DisposeAsync();
        var woken = new List<string>();
        while (woken.Count < Limit) woken.Add((await Runs.NextAsync(stop)).Address.Run);

        Assert.That(woken, Is.EqualTo(Enumerable.Range(0, Limit).Select(static i => $"{i}")));
        Assert.That(Runs.Woken, Is.EqualTo(Limit));
    }

    [Test]
    public async Task Wakes_all_readers_together_however_many_there_are(CancellationToken stop)
    {
        const int Readers = 100;
        var locks = await OpenWithoutSweepAsync(stop);
        var held = await locks.TryAcquireAsync(Name, stop);
        for (var i = 0; i < Readers; i++) await ParkAsync(locks, i, new(Name, Key, LockMode.Shared), stop);

        await held!.DisposeAsync();
        for (var i = 0; i < Readers; i++) await Runs.NextAsync(stop);

        Assert.That(Runs.Woken, Is.EqualTo(Readers));
    }

    [TestCase("plain")]
    [TestCase("\U0001F468\u200D\U0001F469 line\nbreak")]
    public async Task Wakes_no_run_by_a_sweep_where_all_slots_are_held_whatever_is_in_the_name(string name, CancellationToken stop)
    {
        const int Limit = 4;
        Name += name;
        ILockBackend locks = Open();
        var request = new LockRequest(Name, Key, LockMode.Exclusive, Limit);
        var held = new List<JobLockHandle>();
        for (var i = 0; i < Limit; i++) held.AddRange((await locks.TryAcquireAllAsync([request], new() { Run = "h" }, null, blocks: false, stop)).Handles);
        for (var i = 0; i < Limit; i++) await ParkAsync(locks, i, request, stop);

        // Under another name, so that one can see that it was swept.
        var free = new LockRequest($"{Name} free", LockKey.Of($"{Name} free"));
        await ParkAsync(locks, 100, free, stop);
        await Runs.NextAsync(stop);
        await ParkAsync(locks, 101, new LockRequest($"{Name} freer", LockKey.Of($"{Name} freer")), stop);
        await Runs.NextAsync(stop);

        Assert.That(Runs.Woken, Is.EqualTo(2));
        foreach (var handle in held) handle.Dispose();
    }

    [Test]
    public async Task Sweeps_as_many_names_with_a_limit_in_one_question(CancellationToken stop)
    {
        const int Names = 1000;
        await EnsureSessionAsync(Open(), stop);
        await LockTable.AskAsync(
            Database,
            """
            INSERT INTO joblocks.wait_queue (key, name, mode, slots, store, run, queue, parked)
            SELECT joblocks.key($2 || i), $2 || i, 0, 2, $1, i::text, '', true FROM generate_series(1, 1000) AS i
            """,
            Runs.Id,
            Name);

        for (var i = 0; i < Names; i++) await Runs.NextAsync(stop);

        Assert.That(Runs.Woken, Is.EqualTo(Names));
    }

    [Test]
    public async Task Lets_a_run_whose_longest_wait_is_over_bypass_no_other_run(CancellationToken stop)
    {
        ILockBackend locks = await OpenWithoutSweepAsync(stop);
        var held = await ((AdvisoryLocks)locks).TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 0, stop);
        var late = AddressOf(1);
        await locks.WaitQueue.EnqueueAsync(late, new(Name, Key), new(TimeSpan.FromMilliseconds(1), 0, KeepsNewest: false), blocks: false, stop);
        await LockTable.AskAsync(Database, "UPDATE joblocks.wait_queue SET woken = now() WHERE run = '1' AND store = $1", Runs.Id);
        await held!.DisposeAsync();
        await Runs.NextAsync(stop);

        var place = await locks.WaitQueue.FindAsync(late, blocks: false, stop);
        var taken = await locks.TryAcquireAllAsync([new(Name, Key)], new() { Run = "late" }, place, blocks: false, stop);

        Assert.That(place!.IsOverdue, Is.True);
        Assert.That(taken.IsRefusedForQueue, Is.True);
    }

    [Test]
    public async Task Lets_a_run_bypass_no_other_run_of_a_name_for_which_it_was_not_woken(CancellationToken stop)
    {
        var other = new LockRequest($"{Name} other", LockKey.Of($"{Name} other"));
        ILockBackend locks = await OpenWithoutSweepAsync(stop);
        var held = await ((AdvisoryLocks)locks).TryAcquireAsync(Name, stop);
        var heldOther = await ((AdvisoryLocks)locks).TryAcquireAsync(other.Name!, stop);
        await ParkAsync(locks, 0, other, stop);
        await ParkAsync(locks, 1, stop);
        await held!.DisposeAsync();
        await Runs.NextAsync(stop);
        await heldOther!.DisposeAsync();
        await Runs.NextAsync(stop);

        var place = await locks.WaitQueue.FindAsync(AddressOf(1), blocks: false, stop);
        var taken = await locks.TryAcquireAllAsync([new(Name, Key), other], new() { Run = "1" }, place, blocks: false, stop);

        Assert.That(place!.BypassesQueue, Is.True);
        Assert.That(taken.Refused, Is.EqualTo(other), "the first in the line of the other one comes just now");
    }

    [Test]
    public async Task Restores_the_entry_of_a_run_that_was_removed_while_its_store_was_slow_to_park_it(CancellationToken stop)
    {
        ILockBackend locks = await OpenWithoutSweepAsync(stop);
        var held = await ((AdvisoryLocks)locks).TryAcquireAsync(Name, stop);
        var standing = await locks.WaitQueue.EnqueueAsync(AddressOf(0), new(Name, Key), default, blocks: false, stop);
        await ParkAsync(locks, 1, stop);
        await LockTable.AskAsync(Database, "DELETE FROM joblocks.wait_queue WHERE run = '0' AND store = $1", Runs.Id);

        await locks.WaitQueue.MarkParkedAsync(standing.Entry!, blocks: false, stop);
        await held!.DisposeAsync();

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("0"));
        Assert.That(await LengthAsync(), Is.EqualTo(2));
    }

    [Test]
    public async Task Restores_the_entries_of_a_store_in_memory_that_was_taken_for_dead(CancellationToken stop)
    {
        var runs = new RunsOfTest { Id = $"{VolatileStore.Prefix}Test {Guid.NewGuid():N}" };
        var other = AdvisoryLocks.Connect(Database);
        var locks = AdvisoryLocks.Connect(Database);
        ((ILockBackend)locks).WaitQueue.AddStore(runs);
        var held = await other.TryAcquireAsync(Name, stop);
        for (var i = 0; i < 2; i++)
        {
            var standing = await ((ILockBackend)locks).WaitQueue.EnqueueAsync(new(runs.Id, $"{i}", ""), new(Name, Key), default, blocks: false, stop);
            await ((ILockBackend)locks).WaitQueue.MarkParkedAsync(standing.Entry!, blocks: false, stop);
        }

        await LockTable.AskAsync(Database, "DELETE FROM joblocks.wait_queue WHERE store = $1", runs.Id);
        // It had no session meanwhile, and sweeps again with a new one.
        while (await LengthAsync() < 2)
        {
            await LockTable.AskAsync(Database, "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND classid = 1246524279 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())");
            stop.ThrowIfCancellationRequested();
        }

        await held!.DisposeAsync();
        var woken = await runs.NextAsync(stop);
        await locks.DisposeAsync();
        await other.DisposeAsync();

        Assert.That(woken.Address.Run, Is.EqualTo("0"));
    }

    [Test]
    public async Task Restores_no_entry_of_a_run_that_does_not_wait_any_more(CancellationToken stop)
    {
        var locks = Open();
        await using var held = await locks.TryAcquireAsync(Name, stop);
        for (var i = 0; i < 3; i++) await ParkAsync(locks, i, stop);
        // A job that recurs has the same name each time, and this one is performed by another process.
        Runs.State = static run => run.Address.Run switch { "0" => ParkedRunState.Starting, "1" => ParkedRunState.Gone, _ => ParkedRunState.Parked };

        // The second time, nothing else is remembered any more.
        for (var accident = 0; accident < 2; accident++)
        {
            await LockTable.AskAsync(Database, "DELETE FROM joblocks.wait_queue WHERE key = $1", Key.Value);
            while (await LengthAsync() == 0) await Task.Delay(20, stop);
        }

        Assert.That(await LockTable.AskAsync(Database, "SELECT string_agg(run, ' ') FROM joblocks.wait_queue WHERE key = $1", Key.Value), Is.EqualTo("2"));
    }

    [Test]
    public async Task Wakes_no_run_twice_whose_store_lost_its_answer(CancellationToken stop)
    {
        const int Readers = 5;
        var locks = await OpenWithoutSweepAsync(stop);
        var held = await locks.TryAcquireAsync(Name, stop);
        for (var i = 0; i < Readers; i++) await ParkAsync(locks, i, new(Name, Key, LockMode.Shared), stop);
        var asked = new List<string>();
        Runs.LosesNextAnswer = true;
        Runs.State = run =>
        {
            asked.Add(run.Address.Run);
            // The last one is the end of it.
            return asked.Count <= Readers ? ParkedRunState.Parked : ParkedRunState.Starting;
        };

        await held!.DisposeAsync();
        for (var i = 0; i < Readers; i++) await Runs.NextAsync(stop);
        while (asked.Count < 2 * Readers) stop.ThrowIfCancellationRequested();

        Assert.That(Runs.Woken, Is.EqualTo(Readers));
    }

    [Test]
    public async Task Finds_a_run_that_was_not_told_behind_any_number_of_those_who_never_come(CancellationToken stop)
    {
        Runs.State = static run => run.Address.Run.StartsWith("never", StringComparison.Ordinal) ? ParkedRunState.Starting : ParkedRunState.Parked;
        await EnsureSessionAsync(Open(), stop);
        await LockTable.AskAsync(
            Database,
            """
            INSERT INTO joblocks.wait_queue (key, name, mode, slots, store, run, queue, parked, claimed, woken)
            SELECT i, 'n', 0, 1, $1, 'never ' || i, '', true, true, now() - interval '1 hour' FROM generate_series(1, 100) AS i
            UNION ALL SELECT 777777, 'n', 0, 1, $1, 'forgotten', '', true, true, now() - interval '6 s'
            """,
            Runs.Id);

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("forgotten"));
    }

    [Test]
    public async Task Leaves_the_sweep_to_processes_that_can_read_the_wait_queue(CancellationToken stop)
    {
        var blind = Open(static options => options.Schema = null);
        await EnsureSessionAsync(blind, stop);
        var holder = AdvisoryLocks.Connect(Database);
        using var held = await holder.TryAcquireAsync(Name, stop);
        var locks = Open();
        await ParkAsync(locks, 0, stop);

        // It dies and tells nobody.
        await LockTable.AskAsync(Database, "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND ((classid::bigint << 32) | objid::bigint) = $1", Key.Value);

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("0"));
        await holder.DisposeAsync();
    }

    [Test]
    public async Task Keeps_to_the_time_of_a_run_whichever_of_its_locks_it_waits_for([Values] bool isOnFirst, CancellationToken stop)
    {
        var locks = await OpenWithoutSweepAsync(stop);
        var others = AdvisoryLocks.Connect(Database);
        var gate = JobGate.To(locks);
        var call = Calls.Call(Name) with { MayHaveQueueEntry = true, Address = _ => AddressOf(0) };
        // They are asked for in the order of their keys.
        var (first, second) = LockKey.Of($"{Name}1").Value < LockKey.Of($"{Name}2").Value ? ($"{Name}1", $"{Name}2") : ($"{Name}2", $"{Name}1");
        call = call with
        {
            Rules =
            [
                LockRule.For(new(first, OnConflict.Wait, 15) { WaitAtMostSeconds = isOnFirst ? 60 : 0 }, call.Job),
                LockRule.For(new(second, OnConflict.Wait, 15) { WaitAtMostSeconds = isOnFirst ? 0 : 60 }, call.Job),
            ],
        };
        var heldFirst = await others.TryAcquireAsync(first, stop);
        using var heldSecond = await others.TryAcquireAsync(second, stop);
        var waits = (Admission.Waits)await gate.TryEnterAsync(call, stop);
        await gate.MarkParkedAsync(waits.Entry);
        await heldFirst!.DisposeAsync();

        var moved = waits;
        while (moved.Entry.Key != LockKey.Of(second)) moved = (Admission.Waits)await gate.TryEnterAsync(call, stop);
        await gate.MarkParkedAsync(moved.Entry);
        await LockTable.AskAsync(Database, "UPDATE joblocks.wait_queue SET until = now() - interval '1 s' WHERE store = $1", Runs.Id);
        var refused = (Admission.Refused)await gate.TryEnterAsync(call, stop);
        await others.DisposeAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(moved.Reason, Does.StartWith($"Waiting for {second}"));
            Assert.That(refused.Action, Is.EqualTo(OnConflict.Fail));
            Assert.That(refused.Reason, Does.StartWith($"Failed: it waited for 60 s, as long as it may; {second} is held by"));
            Assert.That(await LockTable.AskAsync(Database, "SELECT count(*) FROM joblocks.wait_queue WHERE store = $1", Runs.Id), Is.Zero);
        }
    }

    [Test]
    public async Task Waits_on_where_its_rule_has_no_bound_any_more(CancellationToken stop)
    {
        var locks = await OpenWithoutSweepAsync(stop);
        await using var held = await locks.TryAcquireAsync(Name, stop);
        var gate = JobGate.To(locks);
        var call = Calls.Call(Name) with { MayHaveQueueEntry = true, Address = _ => AddressOf(0) };
        var bounded = call with { Rules = [LockRule.For(new(Name, OnConflict.Wait, 15) { WaitAtMostSeconds = 1 }, call.Job)] };
        await gate.MarkParkedAsync(((Admission.Waits)await gate.TryEnterAsync(bounded, stop)).Entry);
        await LockTable.AskAsync(Database, "UPDATE joblocks.wait_queue SET until = now() - interval '1 s' WHERE store = $1", Runs.Id);

        Assert.That(await gate.TryEnterAsync(call, stop), Is.InstanceOf<Admission.Waits>());
        Assert.That(await LockTable.AskAsync(Database, "SELECT until IS NULL FROM joblocks.wait_queue WHERE store = $1", Runs.Id), Is.True);
    }

    [Test]
    public async Task Owes_a_run_that_had_begun_once_whatever_was_decided_while_it_waited([Values] bool isOverdue, CancellationToken stop)
    {
        var locks = await OpenWithoutSweepAsync(stop);
        await using var held = await locks.TryAcquireAsync(Name, stop);
        var gate = JobGate.To(locks);
        var call = Calls.Call(Name) with { MayHaveQueueEntry = true, Address = _ => AddressOf(0), WasStartedBefore = static () => true };
        call = call with { Rules = [LockRule.For(new(Name, OnConflict.Wait, 15) { WaitAtMostSeconds = 60 }, call.Job)] };
        await gate.MarkParkedAsync(((Admission.Waits)await gate.TryEnterAsync(call, stop)).Entry);
        await LockTable.AskAsync(
            Database,
            isOverdue ? "UPDATE joblocks.wait_queue SET until = now() - interval '1 s' WHERE store = $1" : "UPDATE joblocks.wait_queue SET verdict = 'Skipped: a newer run has come' WHERE store = $1",
            Runs.Id);

        var refused = (Admission.Refused)await gate.TryEnterAsync(call, stop);

        Assert.That(refused.Action, Is.EqualTo(OnConflict.Reschedule));
        Assert.That(refused.Reason, Does.StartWith("Rescheduled, since it had been started before: "));
    }

    /// <summary>What is not told is not found.</summary>
    /// <summary>Another process sweeps for the store, as far as this one can see: not even the sweep with which it begins comes between.</summary>
    private async Task<AdvisoryLocks> OpenWithoutSweepAsync(CancellationToken stop)
    {
        var other = await Raw.OpenAsync(Database, stop);
        _others.Add(other);
        await other.AskAsync($"SELECT pg_advisory_lock(1246524279, {SweepLeadership.LockNumber(Runs.Id, nth: 0)})", stop);
        return Open(static options => options.SweepInterval = NotDuringATest);
    }
}
