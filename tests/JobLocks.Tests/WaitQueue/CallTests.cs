using JobLocks.Gate;
using JobLocks.Locks;
using JobLocks.Tests.Support;
using JobLocks.WaitQueue;

namespace JobLocks.Tests.WaitQueue;

/// <summary>Waits in a worker and calls of the next run, where several processes take part.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class CallTests : WaitQueueFixture
{
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(5);

    private LogLines _log = new();

    [SetUp]
    public void Listen() => _log = new();

    [Test]
    public async Task Wakes_a_run_that_waits_in_a_worker_of_another_process(CancellationToken stop)
    {
        var (here, there) = (OpenPatient(), OpenPatient());
        // The listener of this process works before the release: a first wait opens it.
        await WaitOnceAsync(here, there, stop);
        var held = await there.AcquireAsync(Name, Long, stop);

        var entering = EnterAsync(here, 1, stop);
        await WhenInWorkerAsync(2, stop);
        await held.DisposeAsync();
        using var admitted = (Admission.Admitted)await entering;

        using (Assert.EnterMultipleScope())
        {
            Assert.That(admitted.HasWaitedInWorker, Is.True);
            Assert.That(Runs.Woken, Is.Zero, "runs that the store was told to start");
        }
    }

    [Test]
    public async Task Calls_the_next_run_while_the_lock_is_held(CancellationToken stop)
    {
        var locks = OpenPatient();
        using var first = await AdmitAfterWaitAsync(locks, waiting: 1, stop);

        var called = await Runs.NextAsync(stop);
        var entering = EnterAsync(locks, run: 1, stop);
        await WhenInWorkerAsync(1, stop);
        var startedEarly = entering.IsCompleted;
        first.Dispose();
        using var admitted = (Admission.Admitted)await entering;

        using (Assert.EnterMultipleScope())
        {
            Assert.That(called.Address.Run, Is.EqualTo("1"));
            Assert.That(startedEarly, Is.False);
            Assert.That(admitted.HasWaitedInWorker, Is.True);
            Assert.That(Runs.Woken, Is.EqualTo(3), "each run was started once by its store, one of another lock included");
        }
    }

    [Test]
    public async Task Starts_a_called_run_once_if_the_lock_is_released_before_it_arrives(CancellationToken stop)
    {
        var locks = OpenPatient();
        var first = await AdmitAfterWaitAsync(locks, waiting: 1, stop);
        await Runs.NextAsync(stop);

        first.Dispose();
        await WhenAsync("woken IS NOT NULL", 1, stop);
        using var admitted = (Admission.Admitted)await EnterAsync(locks, 1, stop);
        await WakeOtherAsync(locks, stop);

        Assert.That(Runs.Woken, Is.EqualTo(4), "each run was started once by its store, two of another lock included");
    }

    [Test]
    public async Task Starts_a_called_run_once_if_its_longest_wait_ends_before_it_arrives(CancellationToken stop)
    {
        var locks = OpenPatient();
        using var first = await AdmitAfterWaitAsync(locks, waiting: 1, stop);
        await Runs.NextAsync(stop);
        await LockTable.AskAsync(Database, "UPDATE joblocks.wait_queue SET until = now() - interval '1 s' WHERE name = $1", Name);

        // A store that is made known is swept at once.
        ((ILockBackend)locks).WaitQueue.AddStore(Runs);
        await WhenAsync("woken IS NOT NULL", 1, stop);

        Assert.That(await WakeOtherAsync(locks, stop), Is.EqualTo("5"), "the next run that is started");
    }

    [TestCase(ParkedRunState.Gone)]
    [TestCase(ParkedRunState.Paused)]
    public async Task Wakes_the_next_run_at_once_where_a_called_one_cannot_start_any_more(object state, CancellationToken stop)
    {
        var locks = OpenPatient();
        var first = await AdmitAfterWaitAsync(locks, waiting: 2, stop);
        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("1"), "the run that is called");

        Runs.State = run => run.Address.Run is "1" ? (ParkedRunState)state : ParkedRunState.Parked;
        first.Dispose();

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("2"));
    }

    [Test]
    public async Task Calls_as_many_runs_as_there_is_room_for(CancellationToken stop)
    {
        var locks = OpenPatient();
        string[] names = ["a", "b", "c"];
        var others = new List<IAsyncDisposable>();
        foreach (var name in names)
        {
            others.Add((await locks.TryAcquireAsync($"{Name} {name}", stop))!);
            await ParkAsync(locks, 10 + others.Count, new LockRequest($"{Name} {name}", LockKey.Of($"{Name} {name}")), stop);
        }

        Runs.Room = 2;
        foreach (var name in names) ((ILockBackend)locks).WaitQueue.CallNext(LockKey.Of($"{Name} {name}"), TimeSpan.Zero);
        var called = new[] { (await Runs.NextAsync(stop)).Address.Run, (await Runs.NextAsync(stop)).Address.Run };
        var next = await WakeOtherAsync(locks, stop);
        foreach (var other in others) await other.DisposeAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(called, Is.Unique.And.All.StartsWith("1"));
            Assert.That(next, Is.EqualTo("5"), "a third run is not called");
        }
    }

    [Test]
    public async Task Calls_nobody_where_no_worker_may_wait(CancellationToken stop)
    {
        var locks = OpenPatient();
        Runs.Room = 0;
        using var first = await AdmitAfterWaitAsync(locks, waiting: 1, stop);

        // The thread that calls runs has processed the call before it wakes this run.
        Assert.That(await WakeOtherAsync(locks, stop), Is.EqualTo("5"));
    }

    [TestCase(ParkedRunState.Paused)]
    [TestCase(ParkedRunState.Rescheduled)]
    public async Task Takes_the_call_of_a_run_back_that_cannot_start_now(object state, CancellationToken stop)
    {
        var locks = OpenPatient();
        var called = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Runs.State = run =>
        {
            if (run.Address.Run is not "1") return ParkedRunState.Parked;

            called.TrySetResult();
            return (ParkedRunState)state;
        };
        using (await AdmitAfterWaitAsync(locks, waiting: 1, stop))
        {
            await called.Task.WaitAsync(stop);
            await WhenAsync("NOT claimed", 1, stop);
            Runs.State = static _ => ParkedRunState.Parked;
        }

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("1"), "it is woken like any other run");
    }

    [Test]
    public async Task Has_the_next_run_bypass_one_whose_process_was_killed_in_its_worker(CancellationToken stop)
    {
        var locks = OpenPatient();
        var held = await locks.TryAcquireAsync(Name, stop);
        await ((ILockBackend)locks).WaitQueue.EnqueueAsync(AddressOf(0), new(Name, Key), default, blocks: false, stop);
        await ParkAsync(locks, 1, stop);
        await held!.DisposeAsync();
        await WhenAsync("woken IS NOT NULL", 0, stop);

        await LockTable.AskAsync(Database, "UPDATE joblocks.wait_queue SET woken = woken - interval '6 s' WHERE name = $1 AND run = '0'", Name);
        ((ILockBackend)locks).WaitQueue.WakeNext(Key);

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("1"));
        using var admitted = (Admission.Admitted)await EnterAsync(locks, 1, stop);
    }

    private AdvisoryLocks OpenPatient()
    {
        Runs.Room = 10;
        return Open(options =>
        {
            options.LongestWaitInWorker = Long;
            options.SweepInterval = TimeSpan.FromMinutes(1);
        });
    }

    /// <summary>Has run 0 wait, in its store, and admits it while further runs wait behind it.</summary>
    private async Task<Admission.Admitted> AdmitAfterWaitAsync(AdvisoryLocks locks, int waiting, CancellationToken stop)
    {
        await WhenSweptAsync(locks, stop);
        ((ILockBackend)locks).UsualHolds.Add(Key, TimeSpan.Zero);
        var held = await locks.TryAcquireAsync(Name, stop);
        for (var run = 0; run <= waiting; run++) await ParkAsync(locks, run, stop);
        await held!.DisposeAsync();
        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("0"));
        return (Admission.Admitted)await EnterAsync(locks, 0, stop);
    }

    /// <summary>The first sweep would find the lock free, and wake a run, in the moment in which the woken run requests it.</summary>
    private async Task WhenSweptAsync(AdvisoryLocks locks, CancellationToken stop)
    {
        while (Runs.Sweeps == 0) await Task.Delay(10, stop);
        await WakeOtherAsync(locks, stop);
    }

    /// <summary>Has a run wait for another lock, and wakes it. One thread wakes, calls and sweeps.</summary>
    private async Task<string> WakeOtherAsync(AdvisoryLocks locks, CancellationToken stop)
    {
        var other = new LockRequest($"{Name} other", LockKey.Of($"{Name} other"));
        await using (await locks.TryAcquireAsync(other.Name!, stop)) await ParkAsync(locks, 5, other, stop);

        var woken = await Runs.NextAsync(stop);
        await ((ILockBackend)locks).WaitQueue.DequeueAsync((await ((ILockBackend)locks).WaitQueue.FindAsync(woken.Address, blocks: false, stop))!, blocks: false, stop);
        return woken.Address.Run;
    }

    private async Task WaitOnceAsync(AdvisoryLocks here, AdvisoryLocks there, CancellationToken stop)
    {
        ((ILockBackend)here).UsualHolds.Add(Key, TimeSpan.Zero);
        var held = await there.TryAcquireAsync(Name, stop);
        var entering = EnterAsync(here, 0, stop);
        await WhenInWorkerAsync(1, stop);
        while (await LockTable.AskAsync(Database, "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN joblocks'") is null) await Task.Delay(10, stop);
        await held!.DisposeAsync();
        ((Admission.Admitted)await entering).Dispose();
    }

    private Task<Admission> EnterAsync(AdvisoryLocks locks, int run, CancellationToken stop) =>
        JobGate.To(locks, _log).TryEnterAsync(CallOf(run, Rule) with { MayHaveQueueEntry = true, TryKeepWorker = static _ => new Worker() }, stop);

    private async Task WhenInWorkerAsync(int times, CancellationToken stop)
    {
        while (_log.Text.Split($"waits in its worker for {Name}").Length - 1 < times) await Task.Delay(5, stop);
    }

    private async Task WhenAsync(string condition, int run, CancellationToken stop)
    {
        while (await LockTable.AskAsync(Database, $"SELECT 1 FROM joblocks.wait_queue WHERE name = $1 AND run = '{run}' AND {condition}", Name) is null) await Task.Delay(10, stop);
    }

    private sealed class Worker : IDisposable
    {
        public void Dispose()
        {
        }
    }
}
