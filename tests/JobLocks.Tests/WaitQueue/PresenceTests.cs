using JobLocks.Gate;
using JobLocks.Locks;
using JobLocks.Tests.Support;
using JobLocks.WaitQueue;

namespace JobLocks.Tests.WaitQueue;

/// <summary>A place in the line counts only while some process can start its run.</summary>
[TestFixture]
public sealed class PresenceTests : WaitQueueFixture
{
    // It takes milliseconds. A rule that waits for each dead row would take minutes.
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(5);

    private static readonly Holder Run = new() { Run = "a run of a test" };

    [Test, CancelAfter(60_000)]
    public async Task Bypasses_the_runs_of_an_application_that_has_stopped(CancellationToken stop)
    {
        var application = Open();
        await using var byHand = AdvisoryLocks.Connect(Database);
        await LeaveRunsBehindAsync(application, 4, stop);
        var isRefused = await byHand.TryAcquireAsync(Name, stop) is null;

        await application.DisposeAsync();
        await UntilServedAsync(Runs.Id, 0, stop);

        await using var acquired = await byHand.TryAcquireAsync(Name, stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(isRefused, Is.True);
            Assert.That(acquired, Is.Not.Null);
            Assert.That(await LengthAsync(), Is.EqualTo(4));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Ends_the_wait_by_hand_behind_an_application_that_stops(CancellationToken stop)
    {
        var application = Open();
        await using var byHand = AdvisoryLocks.Connect(Database);
        await LeaveRunsBehindAsync(application, 4, stop);

        var waiting = byHand.AcquireAsync(Name, TimeSpan.FromSeconds(30), stop);
        await application.DisposeAsync();

        await using var acquired = await waiting;
        Assert.That(acquired.IsReleased, Is.False);
    }

    [Test, CancelAfter(60_000)]
    public async Task Bypasses_a_thousand_runs_that_no_process_can_start(CancellationToken stop)
    {
        await using var byHand = await OpenBehindAThousandAsync(stop);

        await using var acquired = await byHand.TryAcquireAsync(Name, stop).WaitAsync(Soon, stop);

        Assert.That(acquired, Is.Not.Null);
    }

    [Test, CancelAfter(60_000)]
    public async Task Bypasses_a_thousand_runs_that_no_process_can_start_for_a_shared_lock(CancellationToken stop)
    {
        await using var byHand = await OpenBehindAThousandAsync(stop);

        await using var acquired = await byHand.TryAcquireAsync(Name, LockMode.Shared, stop).WaitAsync(Soon, stop);

        Assert.That(acquired, Is.Not.Null);
    }

    [Test, CancelAfter(60_000)]
    public async Task Bypasses_a_thousand_runs_that_no_process_can_start_for_all_slots_of_a_limit(CancellationToken stop)
    {
        await using var byHand = await OpenBehindAThousandAsync(stop);

        for (var slot = 0; slot < 3; slot++)
        {
            var taken = await ((ILockBackend)byHand).TryAcquireAllAsync([new(Name, Key, limit: 3)], Run, entry: null, blocks: false, stop).AsTask().WaitAsync(Soon, stop);
            Assert.That(taken.Handles, Has.Count.EqualTo(1), $"slot {slot}");
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Bypasses_a_thousand_runs_that_no_process_can_start_for_several_names(CancellationToken stop)
    {
        await using var byHand = await OpenBehindAThousandAsync(stop);
        var first = Name;
        Name = $"{first} second";
        await AddRowsAsync("Hangfire of an application that was retired", 1000);

        await using var acquired = await byHand.TryAcquireAllAsync([first, Name, $"{first} third"], stop).WaitAsync(Soon, stop);

        Assert.That(acquired, Is.Not.Null);
    }

    [Test, CancelAfter(60_000)]
    public async Task Wakes_its_own_run_at_once_behind_a_thousand_that_no_process_can_start(CancellationToken stop)
    {
        var application = Open();
        var holding = await application.TryAcquireAsync(Name, stop);
        await AddRowsAsync("Quartz of an application that was retired", 1000);
        await ParkAsync(application, 1, stop);

        await holding!.DisposeAsync();

        using var entered = await EnterAsync(application, await Runs.NextAsync(stop), stop);
        Assert.That(await LengthAsync(), Is.EqualTo(1000));
    }

    [Test, CancelAfter(60_000)]
    public async Task Counts_no_run_that_no_process_can_start(CancellationToken stop)
    {
        var application = Open();
        await using var holding = await application.TryAcquireAsync(Name, stop);
        await AddRowsAsync("Quartz of an application that was retired", 3);

        var standing = await ((ILockBackend)application).WaitQueue.EnqueueAsync(AddressOf(1), new(Name, Key), default, blocks: false, stop);

        Assert.That(standing.Ahead, Is.Zero);
    }

    [Test, CancelAfter(60_000)]
    public async Task Counts_them_again_when_their_application_is_back(CancellationToken stop)
    {
        var application = Open();
        await LeaveRunsBehindAsync(application, 2, stop);
        await application.DisposeAsync();

        var back = Open();
        var first = await Runs.NextAsync(stop);

        using var entered = await EnterAsync(back, first, stop);
        Assert.That(first.Address.Run, Is.EqualTo("1"));
    }

    [Test, CancelAfter(60_000)]
    public async Task Passes_over_the_runs_of_a_scheduler_in_standby_until_it_goes_on([Values] bool isServedElsewhere, CancellationToken stop)
    {
        var application = Open();
        await using var byHand = AdvisoryLocks.Connect(Database);
        var holding = await application.TryAcquireAsync(Name, stop);
        await ParkAsync(application, 1, stop);
        var elsewhere = new RunsOfTest { Id = Runs.Id };
        if (isServedElsewhere)
        {
            var other = OpenFor(elsewhere);
            await UntilServedAsync(Runs.Id, 2, stop);
        }

        Runs.CanStart = false;
        ((ILockBackend)application).WaitQueue.AddStore(Runs);
        await UntilServedAsync(Runs.Id, isServedElsewhere ? 1 : 0, stop);
        await holding!.DisposeAsync();

        if (isServedElsewhere) Assert.That((await elsewhere.NextAsync(stop)).Address.Run, Is.EqualTo("1"));
        else await (await byHand.AcquireAsync(Name, TimeSpan.FromSeconds(30), stop)).DisposeAsync();

        Runs.CanStart = true;
        ((ILockBackend)application).WaitQueue.AddStore(Runs);
        if (!isServedElsewhere) Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("1"));
    }

    [Test, CancelAfter(60_000)]
    public async Task Shows_on_the_next_session_what_it_serves(CancellationToken stop)
    {
        var application = Open();
        await EnsureSessionAsync(application, stop);
        await UntilServedAsync(Runs.Id, 1, stop);

        await LockTable.AskAsync(Database, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid IN (SELECT pid FROM pg_locks WHERE classid = 1246524276 AND objid::int = hashtext($1))", Runs.Id);
        await UntilServedAsync(Runs.Id, 0, stop);

        await UntilServedAsync(Runs.Id, 1, stop);
        Assert.Pass();
    }

    [Test, CancelAfter(60_000)]
    public async Task Removes_the_entries_of_a_store_in_memory_when_it_is_shut_down(CancellationToken stop)
    {
        var runs = new RunsOfTest { Id = $"{VolatileStore.Prefix}Test {Guid.NewGuid():N}" };
        ILockBackend application = OpenFor(runs);
        await using var holding = await ((AdvisoryLocks)application).TryAcquireAsync(Name, stop);
        await application.WaitQueue.EnqueueAsync(new(runs.Id, "1", ""), new(Name, Key), default, blocks: false, stop);

        application.WaitQueue.RemoveStore(runs);

        Assert.That(await LengthAsync(), Is.Zero);
    }

    [Test, CancelAfter(60_000)]
    public async Task Lets_other_runs_bypass_one_that_is_parked_after_its_scheduler_has_shut_down([Values] bool isInMemory, CancellationToken stop)
    {
        var runs = new RunsOfTest { Id = $"{(isInMemory ? VolatileStore.Prefix : "")}Test {Guid.NewGuid():N}" };
        ILockBackend application = OpenFor(runs);
        await using var byHand = AdvisoryLocks.Connect(Database);
        var holding = await byHand.TryAcquireAsync(Name, stop);
        await EnsureSessionAsync((AdvisoryLocks)application, stop);
        await UntilServedAsync(runs.Id, 1, stop);

        application.WaitQueue.RemoveStore(runs);
        var standing = await application.WaitQueue.EnqueueAsync(new(runs.Id, "1", ""), new(Name, Key), default, blocks: false, stop);
        await application.WaitQueue.MarkParkedAsync(standing.Entry!, blocks: false, stop);
        await holding!.DisposeAsync();

        await using var granted = await byHand.AcquireAsync(Name, TimeSpan.FromSeconds(30), stop);
        await UntilServedAsync(runs.Id, 0, stop);
        Assert.That(await LengthAsync(), Is.EqualTo(isInMemory ? 0 : 1));
    }

    [Test, CancelAfter(60_000)]
    public async Task Stays_served_where_another_scheduler_of_the_process_with_the_same_store_stands_by(CancellationToken stop)
    {
        var application = Open(static options => options.SweepInterval = TimeSpan.FromMilliseconds(100));
        var standby = new RunsOfTest { Id = Runs.Id, CanStart = false };
        await UntilServedAsync(Runs.Id, 1, stop);

        var queue = ((ILockBackend)application).WaitQueue;
        queue.AddStore(standby);
        while (standby.Sweeps < 10) Assert.That(await CountServersAsync(Runs.Id), Is.EqualTo(1));
        queue.RemoveStore(standby);

        Assert.That(await CountServersAsync(Runs.Id), Is.EqualTo(1));
    }

    [Test, CancelAfter(60_000)]
    public async Task Removes_the_entries_of_a_store_that_no_process_has_served_for_long(CancellationToken stop)
    {
        var locks = Open(static options => KeepFor(options, TimeSpan.FromSeconds(1)));
        await EnsureSessionAsync(locks, stop);
        await AddRowsAsync("Quartz of an application that was retired", 3);

        while (await LengthAsync() > 0) await Task.Delay(10, stop);

        Assert.Pass();
    }

    [Test, CancelAfter(60_000)]
    public async Task Gives_them_up_though_no_process_has_lived_for_that_long(CancellationToken stop)
    {
        var locks = Open(static options => KeepFor(options, TimeSpan.FromHours(1)));
        await EnsureSessionAsync(locks, stop);
        await AddRowsAsync($"Quartz of an application {Guid.NewGuid():N}", 3);
        await UntilMarkedAsync(1, stop);
        await locks.DisposeAsync();
        await LockTable.AskAsync(Database, "UPDATE joblocks.wait_queue SET unserved = unserved - interval '1 h' WHERE name = $1", Name);

        await EnsureSessionAsync(Open(static options => KeepFor(options, TimeSpan.FromHours(1))), stop);
        while (await LengthAsync() > 0) await Task.Delay(10, stop);

        Assert.Pass();
    }

    [Test, CancelAfter(60_000)]
    public async Task Counts_the_time_anew_when_a_process_has_served_the_store_meanwhile(CancellationToken stop)
    {
        var runs = new RunsOfTest { Id = $"Test {Guid.NewGuid():N}" };
        await EnsureSessionAsync(Open(), stop);
        await AddRowsAsync(runs.Id, 3);
        await UntilMarkedAsync(1, stop);

        await EnsureSessionAsync(OpenFor(runs), stop);

        await UntilMarkedAsync(0, stop);
        Assert.That(await LengthAsync(), Is.EqualTo(3));
    }

    [Test, CancelAfter(60_000)]
    public async Task Starts_a_run_that_is_parked_in_its_store_and_has_no_entry(CancellationToken stop)
    {
        var application = Open();
        await EnsureSessionAsync(application, stop);
        await using var holding = await application.TryAcquireAsync(Name, stop);
        await ParkAsync(application, 1, stop);

        Runs.Parked = [AddressOf(1), AddressOf(2)];

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("2"));
    }

    [Test, CancelAfter(60_000)]
    public async Task Waits_once_for_a_queue_that_no_worker_serves(CancellationToken stop)
    {
        var application = Open(static options => options.WakeTimeout = TimeSpan.FromSeconds(2));
        var holding = await application.TryAcquireAsync(Name, stop);
        ILockBackend keeper = application;
        for (var i = 1; i <= 20; i++)
        {
            var standing = await keeper.WaitQueue.EnqueueAsync(new(Runs.Id, $"{i}", "unserved"), new(Name, Key), default, blocks: false, stop);
            await keeper.WaitQueue.MarkParkedAsync(standing.Entry!, blocks: false, stop);
        }

        await ParkAsync(application, 21, stop);
        await holding!.DisposeAsync();

        // The first one does not come, and then one more of its queue is tried beside those of others.
        var woken = new List<string>();
        while (woken.LastOrDefault() is not "21") woken.Add((await Runs.NextAsync(stop)).Address.Run);
        Assert.That(woken, Has.Count.LessThan(5));
    }

    [Test, CancelAfter(60_000)]
    public async Task Shows_which_runs_no_process_can_start(CancellationToken stop)
    {
        var application = Open();
        await using var holding = await application.TryAcquireAsync(Name, stop);
        await AddRowsAsync("Quartz of an application that was retired", 1);
        await ParkAsync(application, 2, stop);
        var left = (string)(await LockTable.AskAsync(Database, "SELECT run FROM joblocks.wait_queue WHERE name = $1 AND store <> $2", Name, Runs.Id))!;

        var waiting = (await application.Inspector.GetNameAsync(Key, stop: stop))!.Waiting.Items;
        var (ofLeft, ofServed) = (await application.Inspector.ExplainAsync(left, stop), await application.Inspector.ExplainAsync("2", stop));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(waiting.Select(static run => run.IsServed), Is.EqualTo([false, true]));
            Assert.That(ofLeft, Does.EndWith("No running scheduler or Hangfire server serves its job store: other runs bypass it until one does"));
            Assert.That(ofServed, Does.Not.Contain("serves its job store"));
        }
    }

    private async Task<AdvisoryLocks> OpenBehindAThousandAsync(CancellationToken stop)
    {
        var byHand = AdvisoryLocks.Connect(Database);
        await EnsureSessionAsync(byHand, stop);
        await AddRowsAsync("Quartz of an application that was retired", 1000);
        return byHand;
    }

    private async Task LeaveRunsBehindAsync(AdvisoryLocks application, int count, CancellationToken stop)
    {
        await using var holding = await application.TryAcquireAsync(Name, stop);
        for (var i = 1; i <= count; i++) await ParkAsync(application, i, stop);
        // It comes to its turn and never runs.
        Runs.State = static _ => ParkedRunState.Parked;
    }

    private static void KeepFor(JobLocksOptions options, TimeSpan kept) =>
        (options.KeepUnservedFor, options.LostAfter, options.HeartbeatInterval) = (kept, TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(0.5));

    private async Task UntilMarkedAsync(long stores, CancellationToken stop)
    {
        while (!Equals(await LockTable.AskAsync(Database, "SELECT count(*) FROM joblocks.wait_queue WHERE unserved IS NOT NULL AND name = $1", Name), stores)) await Task.Delay(10, stop);
    }

    private Task<object?> AddRowsAsync(string store, int count) => LockTable.AskAsync(
        Database,
        """
        INSERT INTO joblocks.wait_queue (key, name, mode, slots, store, run, queue, parked)
        SELECT $1, $2, 0, 1, $3, gen_random_uuid()::text, '', true FROM generate_series(1, $4)
        """,
        Key.Value,
        Name,
        store,
        count);

    private async Task UntilServedAsync(string store, int processes, CancellationToken stop)
    {
        while (await CountServersAsync(store) != processes) await Task.Delay(10, stop);
    }

    private async Task<long> CountServersAsync(string store) =>
        (long)(await LockTable.AskAsync(Database, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1246524276 AND objid::int = hashtext($1)", store))!;
}
