using JobLocks.Gate;
using JobLocks.Tests.Support;
using JobLocks.WaitQueue;

namespace JobLocks.Tests.WaitQueue;

/// <summary>Rows of the wait queue for which no store vouches.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class UnservedEntriesTests : WaitQueueFixture
{
    [Test]
    public async Task Replaces_the_oldest_run_that_is_served_and_not_one_of_a_stopped_application(CancellationToken stop)
    {
        var locks = Open();
        await using var holding = await locks.TryAcquireAsync(Name, stop);
        await AddRowsAsync("Quartz of an application that has stopped", "", 1);
        await ParkAsync(locks, 1, stop);

        var came = await EnterAsync(locks, 2, Rule with { KeepWaiting = 1, KeepNewest = true }, stop);

        var dropped = await LockTable.AskAsync(Database, "SELECT string_agg(store || '/' || run, ', ') FROM joblocks.wait_queue WHERE name = $1 AND verdict IS NOT NULL", Name);
        var waiting = await LockTable.AskAsync(Database, "SELECT count(*) FROM joblocks.wait_queue WHERE name = $1 AND verdict IS NULL AND store = $2", Name, Runs.Id);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(came, Is.InstanceOf<Admission.Waits>());
            Assert.That(dropped, Is.EqualTo($"{Runs.Id}/1"));
            Assert.That(waiting, Is.EqualTo(1));
        }
    }

    [Test]
    public async Task Fails_no_run_that_has_waited_long_enough_on_account_of_one_that_is_gone(CancellationToken stop)
    {
        var locks = Open(static options => options.SweepInterval = TimeSpan.FromMinutes(1));
        var holding = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);
        var first = await EnterAsync(locks, 2, Rule with { WaitAtMostSeconds = 1 }, stop);
        await ((ILockBackend)locks).WaitQueue.MarkParkedAsync(((Admission.Waits)first).Entry, blocks: false, stop);
        await holding!.DisposeAsync();
        await Runs.NextAsync(stop);
        Runs.State = static run => run.Address.Run is "1" ? ParkedRunState.Gone : ParkedRunState.Parked;
        while (await LockTable.AskAsync(Database, "SELECT count(*) FROM joblocks.wait_queue WHERE name = $1 AND until <= now()", Name) is 0L) await Task.Delay(20, stop);

        var came = await EnterAsync(locks, 2, Rule with { WaitAtMostSeconds = 1 }, stop);

        Assert.That(came, Is.InstanceOf<Admission.Admitted>(), (came as Admission.Refused)?.Reason);
        foreach (var handle in ((Admission.Admitted)came).Handles) await handle.DisposeAsync();
    }

    [Test]
    public async Task Keeps_the_limit_of_waiting_runs_while_a_woken_one_is_late(CancellationToken stop)
    {
        var locks = Open(static options => options.WakeTimeout = TimeSpan.FromSeconds(1));
        var holding = await locks.TryAcquireAsync(Name, stop);
        for (var i = 1; i <= 3; i++) await ParkAsync(locks, i, stop);
        await holding!.DisposeAsync();
        await Runs.NextAsync(stop);
        await using var again = await HoldPastAsync(locks, stop);
        var waiting = await LockTable.AskAsync(Database, "SELECT count(*) FROM joblocks.wait_queue WHERE name = $1 AND woken IS NULL", Name);

        var came = new List<string>();
        for (var i = 10; i < 20; i++) came.Add((await EnterAsync(locks, i, Rule with { KeepWaiting = 1 }, stop)).GetType().Name);

        Assert.That(came.Count(static one => one is "Waits"), Is.Zero, $"{waiting} waited before, and then: {string.Join(", ", came)}");
    }

    [Test]
    public async Task Asks_no_store_where_the_answer_changes_nothing_for_a_full_queue(CancellationToken stop)
    {
        var locks = Open(static options => options.LongestWaitQueue = 900);
        await using var holding = await locks.TryAcquireAsync(Name, stop);
        await AddRowsAsync(Runs.Id, "", 900);
        var asked = 0;
        Runs.State = _ =>
        {
            Interlocked.Increment(ref asked);
            return ParkedRunState.Parked;
        };

        var before = asked;
        var came = await EnterAsync(locks, 2, Rule, stop);

        Assert.That(came, Is.InstanceOf<Admission.Refused>());
        Assert.That(asked - before, Is.LessThan(300), "questions to the store for a run that is rescheduled in any case");
    }

    [Test]
    public async Task Ends_the_wait_of_a_caller_behind_dead_rows_of_which_some_were_woken(CancellationToken stop)
    {
        await using var byHand = AdvisoryLocks.Connect(Database);
        await EnsureSessionAsync(byHand, stop);
        await AddRowsAsync("Quartz of an application that has stopped", "", 1000);
        await LockTable.AskAsync(Database, "UPDATE joblocks.wait_queue SET woken = now() WHERE name = $1 AND entry % 2 = 0", Name);

        var since = TimeProvider.System.GetTimestamp();
        await using var all = await byHand.AcquireAsync(Name, TimeSpan.FromSeconds(10), stop);
        await all.DisposeAsync();

        Assert.That(TimeProvider.System.GetElapsedTime(since), Is.LessThan(TimeSpan.FromSeconds(5)));
    }

    [Test]
    public async Task Keeps_no_lock_from_others_for_a_run_that_was_enqueued_while_its_store_was_renamed(CancellationToken stop)
    {
        var locks = Open();
        await using var byHand = AdvisoryLocks.Connect(Database);
        await EnsureSessionAsync(locks, stop);
        var holding = await locks.TryAcquireAsync(Name, stop);
        var before = AddressOf(1);
        while (await ShownAsync(before.Store) == 0) await Task.Delay(20, stop);
        Runs.Id = $"{Runs.Id} restored";
        while (await ShownAsync(Runs.Id) == 0) await Task.Delay(20, stop);

        var standing = await ((ILockBackend)locks).WaitQueue.EnqueueAsync(before, new(Name, Key), default, blocks: false, stop);
        await ((ILockBackend)locks).WaitQueue.MarkParkedAsync(standing.Entry!, blocks: false, stop);
        await holding!.DisposeAsync();
        var woken = await Runs.NextAsync(stop);

        Assert.That(woken.Address, Is.EqualTo(AddressOf(1)));
        while (await ShownAsync(before.Store) > 0) await Task.Delay(20, stop);
    }

    [Test]
    public async Task Keeps_the_entry_of_a_run_whose_store_was_renamed_while_the_table_was_locked(CancellationToken stop)
    {
        using var log = new LogLines();
        var locks = Open(log);
        await using var byHand = AdvisoryLocks.Connect(Database);
        await EnsureSessionAsync(locks, stop);
        var holding = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);
        await using (var other = await Raw.OpenAsync(Database, stop))
        {
            await using var transaction = await other.BeginTransactionAsync(stop);
            await other.AskAsync("LOCK TABLE joblocks.wait_queue IN ACCESS EXCLUSIVE MODE", stop);
            await EnsureSessionAsync(locks, stop);
            var renamed = log.WhenSaidAsync("from now on", stop);
            Runs.Id = $"{Runs.Id} restored";
            await renamed;
        }

        await holding!.DisposeAsync();

        Assert.That((await Runs.NextAsync(stop)).Address, Is.EqualTo(AddressOf(1)));
    }

    [Test]
    public async Task Shows_the_position_of_a_run_among_those_that_are_served(CancellationToken stop)
    {
        var locks = Open();
        await using var holding = await locks.TryAcquireAsync(Name, stop);
        await AddRowsAsync("Quartz of an application that has stopped", "", 50);

        var came = (Admission.Waits)await EnterAsync(locks, 1, Rule, stop);
        await ((ILockBackend)locks).WaitQueue.MarkParkedAsync(came.Entry, blocks: false, stop);

        var shown = await locks.Inspector.GetNameAsync(Key, 0, 100, stop: stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(await locks.Inspector.ExplainAsync("1", stop), Does.Contain("position 1 of 1"), came.Reason);
            Assert.That(shown.Waiting.Total, Is.EqualTo(51));
            Assert.That(shown.Waiting.Items.Where(static run => run.IsServed).Select(static run => run.Position), Is.EqualTo([1]));
        }
    }

    [Test]
    public async Task Says_in_the_overview_how_many_runs_no_process_serves(CancellationToken stop)
    {
        var locks = Open();
        await using var holding = await locks.TryAcquireAsync(Name, stop);
        await AddRowsAsync("Quartz of an application that has stopped", "", 3);
        var came = (Admission.Waits)await EnterAsync(locks, 1, Rule, stop);
        await ((ILockBackend)locks).WaitQueue.MarkParkedAsync(came.Entry, blocks: false, stop);

        var pressed = (await locks.Inspector.GetOverviewAsync(stop)).LongestQueues;
        var waiting = await locks.Inspector.GetWaitingAsync(stop: stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(pressed.Where(one => one.Key == Key).Select(static one => (one.Key, one.Length, one.Unserved)), Is.EqualTo([(Key, 4, 3)]));
            Assert.That(waiting.Items.Where(one => one.Key == Key).Select(static one => (one.Key, one.Length, one.Unserved)), Is.EqualTo([(Key, 4, 3)]));
        }
    }

    private async Task<long> ShownAsync(string store) =>
        (long)(await LockTable.AskAsync(Database, "SELECT count(*) FROM pg_locks WHERE classid = 1246524276 AND objid::int = hashtext($1)", store))!;

    /// <summary>Takes the lock as soon as the turn of the woken run is over.</summary>
    private async Task<JobLockHandle> HoldPastAsync(AdvisoryLocks locks, CancellationToken stop)
    {
        while (true)
        {
            if (await locks.TryAcquireAsync(Name, stop) is { } held) return held;
            await Task.Delay(20, stop);
        }
    }

    private Task<object?> AddRowsAsync(string store, string queue, int count) => LockTable.AskAsync(
        Database,
        """
        INSERT INTO joblocks.wait_queue (key, name, mode, slots, store, run, queue, parked)
        SELECT $1, $2, 0, 1, $3, gen_random_uuid()::text, $5, true FROM generate_series(1, $4)
        """,
        Key.Value,
        Name,
        store,
        count,
        queue);
}
