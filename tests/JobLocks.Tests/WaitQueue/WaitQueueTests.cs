using System.Diagnostics;
using System.Globalization;
using JobLocks.Gate;
using JobLocks.Tests.Support;
using JobLocks.WaitQueue;

namespace JobLocks.Tests.WaitQueue;

/// <summary>The line by itself, with a store that only says whom it was told to start.</summary>
[TestFixture]
public sealed class WaitQueueTests : WaitQueueFixture
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Test, CancelAfter(60_000)]
    public async Task Wakes_each_run_once_and_in_order_whichever_process_released(CancellationToken stop)
    {
        const int Count = 100;
        var processes = new[] { Open(), Open() };
        var holding = await processes[0].TryAcquireAsync(Name, stop);
        for (var i = 0; i < Count; i++) await ParkAsync(processes[i % 2], i, stop);

        await holding!.DisposeAsync();
        var order = new List<string>();
        for (var i = 0; i < Count; i++)
        {
            var woken = await Runs.NextAsync(stop);
            order.Add(woken.Address.Run);
            using var admitted = await EnterAsync(processes[i % 2], woken, stop);
        }

        using (Assert.EnterMultipleScope())
        {
            Assert.That(order, Is.EqualTo(Enumerable.Range(0, Count).Select(static i => i.ToString(CultureInfo.InvariantCulture))));
            Assert.That(Runs.Woken, Is.EqualTo(Count));
            Assert.That(await LengthAsync(), Is.Zero);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Goes_on_where_a_store_fails_and_the_log_of_that_as_well(CancellationToken stop)
    {
        using var log = new LogLines();
        var locks = Open(log);
        var holding = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);
        Runs.State = static _ => throw new InvalidOperationException("the store is away");
        log.Fails = static line => line.Contains("the store is away", StringComparison.Ordinal) || line.Contains("the log is full", StringComparison.Ordinal);

        await holding!.DisposeAsync();
        await log.WhenSaidAsync("the log is full", stop);
        log.Fails = null;
        Runs.State = static _ => ParkedRunState.Parked;

        Assert.That((await Runs.NextAsync(stop)).Address, Is.EqualTo(AddressOf(1)));
    }

    [Test, CancelAfter(60_000)]
    public async Task Wakes_under_ten_thousand_names_once_each_after_the_death_of_a_holder(CancellationToken stop)
    {
        const int Names = 10_000;
        var locks = Open();
        await EnsureSessionAsync(locks, stop);
        await LockTable.AskAsync(
            Database,
            """
            INSERT INTO joblocks.wait_queue (key, name, mode, slots, store, run, queue, parked)
            SELECT hashtextextended($1 || i, 0), $1 || i, 0, 1, $1, i::text, '', true FROM generate_series(1, 10000) AS i
            """,
            Runs.Id);

        var waited = Stopwatch.StartNew();
        var names = new HashSet<string>(StringComparer.Ordinal);
        for (var i = 0; i < Names; i++) names.Add((await Runs.NextAsync(stop)).Name);
        await LockTable.AskAsync(Database, "DELETE FROM joblocks.wait_queue WHERE store = $1", Runs.Id);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(names, Has.Count.EqualTo(Names));
            Assert.That(Runs.Woken, Is.EqualTo(Names));
            Assert.That(waited.Elapsed, Is.LessThan(TimeSpan.FromSeconds(15)));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Claims_no_more_wakes_than_a_slow_store_can_be_told_of(CancellationToken stop)
    {
        const int Names = 500;
        var slow = new RunsOfTest { Takes = TimeSpan.FromMilliseconds(10) };
        await using var locks = AdvisoryLocks.Connect(Database);
        await EnsureSessionAsync(locks, stop);
        await LockTable.AskAsync(
            Database,
            """
            INSERT INTO joblocks.wait_queue (key, name, mode, slots, store, run, queue, parked)
            SELECT hashtextextended($1 || i, 0), $1 || i, 0, 1, $1, i::text, '', true FROM generate_series(1, 500) AS i
            """,
            slow.Id);

        ((ILockBackend)locks).WaitQueue.AddStore(slow);
        for (var i = 0; i < Names; i++) await slow.NextAsync(stop);
        await LockTable.AskAsync(Database, "DELETE FROM joblocks.wait_queue WHERE store = $1", slow.Id);

        Assert.That(slow.TooLate, Is.Zero);
    }

    [Test, CancelAfter(60_000)]
    public async Task Sweeps_beyond_ten_thousand_names_of_which_no_run_can_be_woken(CancellationToken stop)
    {
        var locks = Open();
        await EnsureSessionAsync(locks, stop);
        await LockTable.AskAsync(
            Database,
            """
            INSERT INTO joblocks.wait_queue (key, name, mode, slots, store, run, queue, parked, claimed, woken)
            SELECT i, 'late', 0, 1, 'of nobody ' || $1, i::text, '', true, true, now() - interval '1 hour' FROM generate_series(-9223372036854775807, -9223372036854765000) AS i
            """,
            Runs.Id);
        await LockTable.AskAsync(
            Database,
            "INSERT INTO joblocks.wait_queue (key, name, mode, slots, store, run, queue, parked) VALUES (9223372036854775806, $2, 0, 1, $1, 'last', '', true)",
            Runs.Id,
            Name);

        var woken = await Runs.NextAsync(stop);
        await LockTable.AskAsync(Database, "DELETE FROM joblocks.wait_queue WHERE store LIKE '%' || $1", Runs.Id);

        Assert.That(woken.Address.Run, Is.EqualTo("last"));
    }

    [Test, CancelAfter(60_000)]
    public async Task Drops_those_who_are_gone_and_wakes_the_first_that_is_there(CancellationToken stop)
    {
        Runs.State = static run => run.Address.Run is "0" or "1" or "2" ? ParkedRunState.Gone : ParkedRunState.Parked;
        var locks = Open();
        var holding = await locks.TryAcquireAsync(Name, stop);
        for (var i = 0; i < 5; i++) await ParkAsync(locks, i, stop);

        await holding!.DisposeAsync();
        var woken = await Runs.NextAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(woken.Address.Run, Is.EqualTo("3"));
            Assert.That(Runs.Woken, Is.EqualTo(1));
            Assert.That(await LengthAsync(), Is.EqualTo(2));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_not_held_up_by_one_run_of_which_the_store_cannot_say_anything(CancellationToken stop)
    {
        Runs.State = static run => run.Address.Run is "0" ? throw new InvalidOperationException("The store cannot read this one.") : ParkedRunState.Parked;
        var locks = Open(static options => options.WakeTimeout = TimeSpan.FromSeconds(1));
        var holding = await locks.TryAcquireAsync(Name, stop);
        for (var i = 0; i < 2; i++) await ParkAsync(locks, i, stop);

        await holding!.DisposeAsync();

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("1"));
    }

    [Test, CancelAfter(60_000)]
    public async Task Serves_callers_and_waiting_runs_in_the_order_of_arrival(CancellationToken stop)
    {
        const int Count = 20;
        var (locks, other) = (Open(), Open());
        var holding = await locks.TryAcquireAsync(Name, stop);
        for (var i = 0; i < Count / 2; i++) await ParkAsync(locks, i, stop);
        var byHand = Enumerable.Range(0, 5).Select(_ => UseAsync(other.AcquireAsync(Name, Patience, stop))).ToList();
        for (var i = Count / 2; i < Count; i++) await ParkAsync(locks, i, stop);

        await holding!.DisposeAsync();
        for (var i = 0; i < Count; i++) (await EnterAsync(locks, await Runs.NextAsync(stop), stop)).Dispose();
        await Task.WhenAll(byHand).WaitAsync(Patience, stop);

        Assert.That(Runs.Woken, Is.GreaterThanOrEqualTo(Count));
        Assert.That(await LengthAsync(), Is.Zero);
    }

    [Test, CancelAfter(60_000)]
    public async Task Lets_no_new_run_bypass_the_waiting_ones(CancellationToken stop)
    {
        var locks = Open();
        var holding = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 0, stop);
        await holding!.DisposeAsync();
        var woken = await Runs.NextAsync(stop);

        var newcomer = await locks.TryAcquireAsync(Name, stop);
        using var admitted = await EnterAsync(locks, woken, stop);

        Assert.That(newcomer, Is.Null);
    }

    [Test, CancelAfter(60_000)]
    public async Task Removes_the_entries_of_a_store_whose_process_has_died(CancellationToken stop)
    {
        var locks = Open(static options => (options.LostAfter, options.HeartbeatInterval) = (TimeSpan.FromSeconds(2), TimeSpan.FromMilliseconds(200)));
        var holding = await locks.TryAcquireAsync(Name, stop);
        await LockTable.AskAsync(
            Database,
            """
            INSERT INTO joblocks.wait_queue (key, name, mode, slots, store, run, queue, parked)
            SELECT $2, $1, 0, 1, 'memory: Quartz of nobody', i::text, '', true FROM generate_series(1, 3) AS i
            """,
            Name,
            Key.Value);
        await ParkAsync(locks, 0, stop);

        await holding!.DisposeAsync();
        var woken = await Runs.NextAsync(stop);
        while (await LengthAsync() > 1) await Task.Delay(10, stop);

        Assert.That(woken.Address.Run, Is.EqualTo("0"), "only its own place is left");
    }

    [Test, CancelAfter(60_000)]
    public async Task Goes_on_with_locks_where_the_wait_queue_is_gone(CancellationToken stop)
    {
        var database = await AssemblySetup.Server.CreateDatabaseAsync("line_is_gone", stop);
        await using var locks = AdvisoryLocks.Connect(database);
        await using var held = await locks.TryAcquireAsync("held", stop);
        await LockTable.AskAsync(database, "DROP TABLE joblocks.wait_queue");

        // The first to notice is refused, whoever that is.
        await using var taken = await locks.TryAcquireOnceBackAsync(Name, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(taken, Is.Not.Null);
            Assert.That(held!.Lost.IsCancellationRequested, Is.False);
            Assert.That(await ((ILockBackend)locks).WaitQueue.IsUsableAsync(blocks: false, stop), Is.False);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Keeps_names_that_no_text_of_the_server_can_hold(CancellationToken stop)
    {
        Name = $"sync(\0{new string('x', 20_000)})";
        var locks = Open();
        var holding = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 0, stop);

        await holding!.DisposeAsync();
        using var admitted = await EnterAsync(locks, await Runs.NextAsync(stop), stop);

        Assert.That(Runs.Woken, Is.EqualTo(1));
    }

    private static async Task UseAsync(Task<JobLockHandle> acquired) => await (await acquired).DisposeAsync();
}
