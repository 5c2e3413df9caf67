using JobLocks.Gate;
using JobLocks.Rules;
using JobLocks.Tests.Support;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging.Abstractions;

namespace JobLocks.Tests.WaitQueue;

/// <summary>An entry that a run has left behind when it started drops no other run, and goes away.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class StartedEntriesTests : WaitQueueFixture
{
    [Test]
    public async Task Removes_the_entry_of_a_run_that_started_while_the_table_was_locked(CancellationToken stop)
    {
        var locks = Open();
        var holder = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);
        await holder!.DisposeAsync();
        await Runs.NextAsync(stop);
        Runs.State = static _ => ParkedRunState.Started;
        await using var other = await Raw.OpenAsync(Database, stop);
        var transaction = await other.BeginTransactionAsync(stop);
        await other.AskAsync("LOCK TABLE joblocks.wait_queue IN ACCESS EXCLUSIVE MODE", stop);
        await (await locks.TryAcquireAsync("notices it", stop))!.DisposeAsync();
        Assert.That(await ((ILockBackend)locks).WaitQueue.IsUsableAsync(blocks: false, stop), Is.False);

        var started = (Admission.Admitted)await StartAsync(locks, run: 1, Rule, stop);
        await transaction.DisposeAsync();

        // Its entry goes away while the run goes on.
        await UntilIsEmptyAsync(stop);
        await started.Handles[0].DisposeAsync();
    }

    [Test]
    public async Task Removes_no_entry_of_a_run_that_waits_again(CancellationToken stop)
    {
        var locks = Open(static options => options.SweepInterval = TimeSpan.FromMinutes(1));
        var holder = await locks.TryAcquireAsync(Name, stop);
        var queue = ((ILockBackend)locks).WaitQueue;
        queue.DequeueLater(AddressOf(1));

        await ParkAsync(locks, 1, stop);
        queue.AddStore(Runs);
        // Another run of the queue is removed by the same sweep.
        await ParkAsync(locks, 2, stop);
        Runs.State = static run => run.Address.Run is "2" ? ParkedRunState.Started : ParkedRunState.Parked;
        queue.DequeueLater(AddressOf(2));
        queue.AddStore(Runs);

        await UntilAsync(async () => await LengthAsync() == 1, stop);
        Assert.That(await LockTable.AskAsync(Database, "SELECT run FROM joblocks.wait_queue WHERE name = $1", Name), Is.EqualTo("1"));
        await holder!.DisposeAsync();
    }

    [Test]
    public async Task Removes_no_entry_of_a_run_that_another_process_has_parked_again(CancellationToken stop)
    {
        var locks = Open(static options => options.SweepInterval = TimeSpan.FromMinutes(1));
        await using var holder = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);
        await ParkAsync(locks, 2, stop);
        Runs.State = static run => run.Address.Run is "2" ? ParkedRunState.Started : ParkedRunState.Parked;
        var queue = ((ILockBackend)locks).WaitQueue;

        queue.DequeueLater(AddressOf(1));
        queue.DequeueLater(AddressOf(2));
        queue.AddStore(Runs);

        await UntilAsync(async () => await LengthAsync() == 1, stop);
        Assert.That(await LockTable.AskAsync(Database, "SELECT run FROM joblocks.wait_queue WHERE name = $1", Name), Is.EqualTo("1"));
    }

    [Test]
    public async Task Admits_a_run_whose_store_cannot_say_its_name(CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(Database, static options => options.Schema = null);
        var call = CallOf(1, Rule) with { MayHaveQueueEntry = true, Address = static _ => throw new InvalidOperationException("The store is away.") };

        var came = await new JobGate(locks, NullLogger<JobGate>.Instance).TryEnterAsync(call, stop);

        Assert.That(came, Is.InstanceOf<Admission.Admitted>());
        foreach (var handle in ((Admission.Admitted)came).Handles) await handle.DisposeAsync();
    }

    [Test]
    public async Task Reschedules_a_run_that_would_be_dropped_for_one_that_started_long_ago([Values] bool keepsNewest, [Values] bool wasWoken, CancellationToken stop)
    {
        var locks = Open(static options => options.SweepInterval = TimeSpan.FromMinutes(1));
        await using var holding = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);
        if (wasWoken) await LockTable.AskAsync(Database, "UPDATE joblocks.wait_queue SET woken = now() - interval '10 s', claimed = true WHERE name = $1", Name);
        Runs.State = static _ => ParkedRunState.Started;

        var came = await StartAsync(locks, run: 2, Rule with { KeepWaiting = 1, KeepNewest = keepsNewest }, stop);

        Assert.That(came, Is.InstanceOf<Admission.Refused>().With.Property(nameof(Admission.Refused.Action)).EqualTo(OnConflict.Reschedule));
    }

    [Test]
    public async Task Skips_a_run_for_one_that_is_on_its_way_to_the_lock(CancellationToken stop)
    {
        var locks = Open(static options => options.SweepInterval = TimeSpan.FromMinutes(1));
        var holder = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);
        await holder!.DisposeAsync();
        await Runs.NextAsync(stop);
        Runs.State = static _ => ParkedRunState.Started;

        var came = await StartAsync(locks, run: 2, Rule with { OnConflict = OnConflict.Skip }, stop);

        Assert.That(came, Is.InstanceOf<Admission.Refused>().With.Property(nameof(Admission.Refused.Action)).EqualTo(OnConflict.Skip));
    }

    [Test]
    public async Task Removes_an_entry_whose_run_has_started_and_wakes_the_next_run([Values] bool wasWoken, CancellationToken stop)
    {
        var locks = Open();
        var holder = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);
        await ParkAsync(locks, 2, stop);
        Runs.State = static run => run.Address.Run is "1" ? ParkedRunState.Started : ParkedRunState.Parked;

        // The lock becomes free before the store was asked, or after it.
        if (!wasWoken) await UntilAsync(async () => await LengthAsync() == 1, stop);
        await holder!.DisposeAsync();

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("2"));
        await UntilAsync(async () => await LengthAsync() == 1, stop);
    }

    [Test]
    public async Task Wakes_the_next_run_where_thousands_before_it_were_deleted(CancellationToken stop)
    {
        var locks = Open(static options => options.SweepInterval = TimeSpan.FromMinutes(1));
        var holder = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);
        await LockTable.AskAsync(
            Database,
            """
            INSERT INTO joblocks.wait_queue (entry, store, run, queue, key, name, mode, slots, parked)
            SELECT l.entry - 1000000 + n, l.store, 'gone ' || n, '', l.key, l.name, l.mode, l.slots, true
            FROM   joblocks.wait_queue AS l, generate_series(1, 9999) AS n
            WHERE  l.name = $1
            """,
            Name);
        Runs.State = static run => run.Address.Run is "1" ? ParkedRunState.Parked : ParkedRunState.Gone;

        await holder!.DisposeAsync();

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("1"));
        Assert.That(await LengthAsync(), Is.EqualTo(1));
    }

    [Test]
    public async Task Asks_a_store_that_took_long_to_fail_no_further_and_wakes_the_runs_of_another_store(CancellationToken stop)
    {
        var locks = Open();
        var hanging = new RunsOfTest { State = _ => stop.WaitHandle.WaitOne(TimeSpan.FromSeconds(1.5)) ? default : throw new TimeoutException("The store does not answer.") };
        ((ILockBackend)locks).WaitQueue.AddStore(hanging);
        var holder = await locks.TryAcquireAsync(Name, stop);
        await LockTable.AskAsync(
            Database,
            "INSERT INTO joblocks.wait_queue (store, run, queue, key, name, mode, slots, parked, since) SELECT $1, n::text, '', 7, 'another name', 0, 1, true, now() - interval '1 min' FROM generate_series(1, 100) AS n",
            hanging.Id);
        await ParkAsync(locks, 1, stop);
        while (hanging.Questions.IsEmpty) await Task.Delay(10, stop);

        await holder!.DisposeAsync();

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("1"));
        Assert.That(hanging.Questions, Has.All.GreaterThan(1), "runs that were asked for together are asked for one by one");
        await LockTable.AskAsync(Database, "DELETE FROM joblocks.wait_queue WHERE store = $1", hanging.Id);
    }

    [Test]
    public async Task Drops_no_run_for_a_newer_one_that_has_no_room_itself(CancellationToken stop)
    {
        var locks = Open(static options => options.LongestWaitQueue = 2);
        await using var holding = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);
        await ParkAsync(locks, 2, stop);

        var came = await StartAsync(locks, run: 3, Rule with { KeepWaiting = 1, KeepNewest = true }, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(came, Is.InstanceOf<Admission.Refused>());
            Assert.That(await LockTable.AskAsync(Database, "SELECT count(*) FROM joblocks.wait_queue WHERE verdict IS NULL AND name = $1", Name), Is.EqualTo(2));
        }
    }

    [Test]
    public async Task Holds_no_lock_after_a_logger_threw(CancellationToken stop)
    {
        var locks = Open();
        var call = Calls.Call(Name);

        var came = await new JobGate(locks, new ThrowingLog()).TryEnterAsync(call, stop);

        Assert.That(came, Is.InstanceOf<Admission.Refused>());
        await using var next = await locks.TryAcquireAsync(Name, stop);
        Assert.That(next, Is.Not.Null);
    }

    /// <summary>A scheduler starts a run that may have an entry.</summary>
    private Task<Admission> StartAsync(AdvisoryLocks locks, int run, LockDeclaration rule, CancellationToken stop) =>
        new JobGate(locks, NullLogger<JobGate>.Instance).TryEnterAsync(CallOf(run, rule) with { MayHaveQueueEntry = true }, stop);

    private Task UntilIsEmptyAsync(CancellationToken stop) => UntilAsync(async () => await LengthAsync() == 0, stop);

    private static async Task UntilAsync(Func<Task<bool>> condition, CancellationToken stop)
    {
        while (!await condition()) await Task.Delay(50, stop);
    }

    private sealed class ThrowingLog : Microsoft.Extensions.Logging.ILogger<JobGate>
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(Microsoft.Extensions.Logging.LogLevel logLevel) => true;

        public void Log<TState>(Microsoft.Extensions.Logging.LogLevel logLevel, Microsoft.Extensions.Logging.EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            // The message that the run was admitted.
            if (logLevel == Microsoft.Extensions.Logging.LogLevel.Debug) throw new InvalidOperationException("The log is broken.");
        }
    }
}
