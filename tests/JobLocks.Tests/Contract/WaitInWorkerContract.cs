using JobLocks.Gate;
using JobLocks.Naming;
using JobLocks.Rules;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Contract;

/// <summary>Runs that wait in their workers for a short time, instead of being parked.</summary>
[CancelAfter(60_000)]
public abstract class WaitInWorkerContract : ContractFixture
{
    private static readonly JobSignature Job = JobSignature.Of(typeof(ClientSync));

    private int _occupied;
    private LogLines _log = new();

    private protected WaitInWorkerContract(ContractBackend backend)
        : base(backend)
    {
    }

    private JobGate Gate => JobGate.To(Locks, _log);

    private LockDeclaration Waits => new(Name, OnConflict.Wait, 15);

    [SetUp]
    public void Wait_for_long()
    {
        _occupied = 0;
        _log = new();
        Configure(static options => options.LongestWaitInWorker = TimeSpan.FromSeconds(5));
    }

    [Test]
    public async Task Waits_in_its_worker_for_a_lock_that_is_usually_held_for_a_short_time([Values] bool blocks, CancellationToken stop)
    {
        var held = await HoldUsuallyShortAsync(stop);

        var entering = EnterAsync(0, Waits, blocks, stop);
        await WhenInWorkerAsync(stop);
        var occupied = _occupied;
        await held.DisposeAsync();
        using var admitted = (Admission.Admitted)await entering;

        using (Assert.EnterMultipleScope())
        {
            Assert.That((occupied, _occupied), Is.EqualTo((1, 0)), "workers in which a run waits");
            Assert.That(admitted.HasWaitedInWorker, Is.True);
            Assert.That(admitted.FormerEntry!.WokenAt, Is.Not.Null);
            Assert.That(await Queue.FindAsync(AddressOf(0), blocks: false, stop), Is.Null, "an admitted run has left the queue");
            Assert.That(Runs.Woken, Is.Zero, "runs that the job store was told to start");
        }
    }

    [Test]
    public async Task Parks_a_run_whose_lock_is_not_released_in_time([Values] bool blocks, CancellationToken stop)
    {
        Configure(static options => options.LongestWaitInWorker = TimeSpan.FromMilliseconds(50));
        var held = await HoldUsuallyShortAsync(stop);

        var waits = (Admission.Waits)await EnterAsync(0, Waits, blocks, stop);
        await Gate.MarkParkedAsync(waits.Entry);
        var occupied = _occupied;
        await held.DisposeAsync();
        await WhenWokenAsync(0, stop);
        using var admitted = (Admission.Admitted)await Gate.TryEnterAsync(Call(0, Waits), stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(occupied, Is.Zero, "workers in which a run waits");
            Assert.That(admitted.HasWaitedInWorker, Is.False);
        }
    }

    [TestCase("its lock has never been released")]
    [TestCase("its lock is usually held for long")]
    [TestCase("the runs ahead of it take too long")]
    [TestCase("too many workers wait")]
    [TestCase("the option is zero")]
    public async Task Parks_a_run_at_once_where(string why, CancellationToken stop)
    {
        if (string.Equals(why, "the option is zero", StringComparison.Ordinal)) Configure(static options => options.LongestWaitInWorker = TimeSpan.Zero);
        var call = Call(0, Waits);
        if (string.Equals(why, "too many workers wait", StringComparison.Ordinal)) call = call with { TryKeepWorker = static _ => null };
        await using var held = await HoldAsync(stop);
        if (string.Equals(why, "its lock is usually held for long", StringComparison.Ordinal)) Keeper.UsualHolds.Add(Key, TimeSpan.FromSeconds(6));
        else if (string.Equals(why, "the runs ahead of it take too long", StringComparison.Ordinal)) Keeper.UsualHolds.Add(Key, TimeSpan.FromSeconds(2));
        else if (!string.Equals(why, "its lock has never been released", StringComparison.Ordinal)) Keeper.UsualHolds.Add(Key, TimeSpan.Zero);
        if (string.Equals(why, "the runs ahead of it take too long", StringComparison.Ordinal))
        {
            await ParkAsync(1, stop);
            await ParkAsync(2, stop);
        }

        var admission = await Gate.TryEnterAsync(call, stop).WaitAsync(TimeSpan.FromSeconds(4), stop);

        Assert.That(admission, Is.InstanceOf<Admission.Waits>());
    }

    [Test]
    public async Task Admits_runs_in_workers_and_parked_runs_in_the_order_of_arrival(CancellationToken stop)
    {
        var held = await HoldUsuallyShortAsync(stop);
        await ParkAsync(0, stop);
        var second = EnterAsync(1, Waits, blocks: false, stop);
        await WhenInWorkerAsync(stop);
        await ParkAsync(2, stop);

        await held.DisposeAsync();
        JobLockHandle? first;
        // The first sweep may have woken the run in vain, and the run may now request its lock while the other run requests it.
        do await WhenWokenAsync(0, stop);
        while ((first = await TryEnterAsync(0, stop)) is null);
        var startedEarly = second.IsCompleted;
        await first.DisposeAsync();
        ((Admission.Admitted)await second).Dispose();
        await WhenWokenAsync(2, stop);
        await (await EnterAsync(2, stop)).DisposeAsync();

        Assert.That(startedEarly, Is.False, "the second run before the first one has ended");
    }

    [Test]
    public async Task Parks_the_run_when_its_scheduler_shuts_down([Values] bool blocks, CancellationToken stop)
    {
        await using var held = await HoldUsuallyShortAsync(stop);
        using var shutdown = CancellationTokenSource.CreateLinkedTokenSource(stop);

        var entering = EnterAsync(0, Waits, blocks, shutdown.Token);
        await WhenInWorkerAsync(stop);
        await shutdown.CancelAsync();

        Assert.That(await entering, Is.InstanceOf<Admission.Waits>());
        Assert.That(_occupied, Is.Zero);
    }

    [Test]
    public async Task Skips_a_run_that_a_newer_one_replaces_while_it_waits_in_its_worker(CancellationToken stop)
    {
        var keepsNewest = Waits with { KeepWaiting = 1, KeepNewest = true };
        await using var held = await HoldUsuallyShortAsync(stop);
        var replaced = EnterAsync(0, keepsNewest, blocks: false, stop);
        await WhenInWorkerAsync(stop);

        var newer = EnterAsync(1, keepsNewest, blocks: false, stop);
        var admission = (Admission.Refused)await replaced;
        await held.DisposeAsync();
        ((Admission.Admitted)await newer).Dispose();

        Assert.That((admission.Action, admission.Reason), Is.EqualTo((OnConflict.Skip, $"Skipped: a newer run has replaced it in the queue of {Name}")));
    }

    [Test]
    public async Task Fails_a_run_in_its_worker_when_its_longest_wait_is_over(CancellationToken stop)
    {
        SweepOften();
        await using var held = await HoldUsuallyShortAsync(stop);

        var admission = await Gate.TryEnterAsync(Call(0, Waits with { WaitAtMostSeconds = 1 }), stop);

        Assert.That((admission as Admission.Refused)?.Reason, Does.StartWith("Failed: it waited for 1 s, as long as it may"));
    }

    [Test]
    public async Task Keeps_a_run_that_waits_in_its_worker_when_all_locks_are_lost(CancellationToken stop)
    {
        SweepOften();
        Configure(static options => options.LongestWaitInWorker = TimeSpan.FromSeconds(1));
        var held = await HoldUsuallyShortAsync(stop);
        var entering = EnterAsync(0, Waits, blocks: false, stop);
        await WhenInWorkerAsync(stop);

        await LoseAllAsync();
        while (!held.IsLost) await Task.Delay(5, stop);
        await held.DisposeAsync();
        var admission = await entering;
        while (admission is Admission.Waits waits)
        {
            await Gate.MarkParkedAsync(waits.Entry);
            await WhenWokenAsync(0, stop);
            admission = await Gate.TryEnterAsync(Call(0, Waits), stop);
        }

        using var admitted = (Admission.Admitted)admission;
        using (Assert.EnterMultipleScope())
        {
            Assert.That(admitted.First.IsLost, Is.False);
            Assert.That(await Queue.FindAsync(AddressOf(0), blocks: false, stop), Is.Null, "an admitted run has left the queue");
        }
    }

    /// <summary>Holds the lock, which was released at once before.</summary>
    private async Task<JobLockHandle> HoldUsuallyShortAsync(CancellationToken stop)
    {
        await (await HoldAsync(stop)).DisposeAsync();
        return await HoldAsync(stop);
    }

    private Task WhenInWorkerAsync(CancellationToken stop) => _log.WhenSaidAsync($"waits in its worker for {Name}", stop);

    private Task<Admission> EnterAsync(int run, LockDeclaration rule, bool blocks, CancellationToken stop) => blocks
        ? Task.Factory.StartNew(() => Gate.TryEnter(Call(run, rule), stop), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default)
        : Gate.TryEnterAsync(Call(run, rule), stop);

    /// <summary>A run whose scheduler has any number of workers.</summary>
    private JobCall Call(int run, LockDeclaration rule) => Calls.Call(Job, Name) with
    {
        Rules = [LockRule.For(rule, Job)],
        MayHaveQueueEntry = true,
        Address = _ => AddressOf(run),
        TryKeepWorker = _ =>
        {
            Interlocked.Increment(ref _occupied);
            return new Occupied(this);
        },
    };

    private sealed class Occupied(WaitInWorkerContract test) : IDisposable
    {
        public void Dispose() => Interlocked.Decrement(ref test._occupied);
    }
}

/// <summary>The contract over PostgreSQL.</summary>
[TestFixture]
public sealed class PostgresWaitInWorkerTests() : WaitInWorkerContract(new PostgresBackend());

/// <summary>The contract in memory.</summary>
[TestFixture]
public sealed class InMemoryWaitInWorkerTests() : WaitInWorkerContract(new InMemoryBackend());
