using System.Runtime.CompilerServices;
using JobLocks.Gate;
using JobLocks.InMemory;
using JobLocks.Locks;
using JobLocks.Tests.Support;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Options;

namespace JobLocks.Tests.InMemory;

/// <summary>What the locks in memory do beyond the contract: they follow a clock of the test, and lose locks on demand.</summary>
[TestFixture, CancelAfter(30_000)]
public sealed class InMemoryLocksTests
{
    private const string Name = "sync(4)";

    private static readonly LockKey Key = LockKey.Of(Name);

    private readonly AsyncLocal<string?> _ambient = new();

    private ManualClock _clock = null!;
    private RunsOfTest _runs = null!;
    private InMemoryLocks _locks = null!;

    private ILockBackend Keeper => _locks;

    [SetUp]
    public void Open()
    {
        _clock = new();
        _runs = new();
        _locks = new(clock: _clock);
        Keeper.WaitQueue.AddStore(_runs);
    }

    [TearDown]
    public void Close() => _locks.Dispose();

    [Test]
    public async Task Ends_a_wait_by_its_clock(CancellationToken stop)
    {
        using var held = _locks.TryAcquire(Name, stop);
        var waiting = _locks.AcquireAsync(Name, TimeSpan.FromMinutes(1), stop);

        _clock.Advance(TimeSpan.FromSeconds(59));
        Assert.That(waiting.IsCompleted, Is.False);
        _clock.Advance(TimeSpan.FromSeconds(1));

        Assert.That(async () => await waiting, Throws.InstanceOf<TimeoutException>());
    }

    [Test]
    public async Task Ends_the_wait_of_a_blocked_thread_by_its_clock(CancellationToken stop)
    {
        using var held = _locks.TryAcquire(Name, stop);
        var waiting = Task.Factory.StartNew(() => _locks.Acquire(Name, TimeSpan.FromHours(1), stop), stop, TaskCreationOptions.LongRunning, TaskScheduler.Default);

        while (!waiting.IsCompleted)
        {
            stop.ThrowIfCancellationRequested();
            _clock.Advance(TimeSpan.FromHours(1));
            await Task.Yield();
        }

        Assert.That(async () => await waiting, Throws.InstanceOf<TimeoutException>());
        Assert.That(_clock.Timers, Is.Zero);
    }

    [Test]
    public async Task Shows_the_times_of_its_clock(CancellationToken stop)
    {
        var before = _clock.GetUtcNow();
        using var held = _locks.TryAcquire(Name, stop);
        await ParkAsync(0, atMost: null, stop);
        _clock.Advance(TimeSpan.FromHours(1));

        var snapshot = await _locks.Inspector.GetSnapshotAsync(stop: stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(snapshot.Overview.At, Is.EqualTo(before + TimeSpan.FromHours(1)));
            Assert.That(snapshot.Held.Items.Single().Holder.Since, Is.EqualTo(before));
            Assert.That(snapshot.Waiting.Items.Single().Since, Is.EqualTo(before));
        }
    }

    [Test]
    public async Task Wakes_a_run_when_its_longest_wait_is_over(CancellationToken stop)
    {
        using var held = _locks.TryAcquire(Name, stop);
        await ParkAsync(0, TimeSpan.FromHours(1), stop);
        await ParkAsync(1, TimeSpan.FromHours(3), stop);

        _clock.Advance(TimeSpan.FromHours(2));

        Assert.That((await _runs.NextAsync(stop)).Address.Run, Is.EqualTo("0"));
        Assert.That(_runs.Woken, Is.EqualTo(1));
    }

    [Test]
    public async Task Wakes_the_next_run_when_a_woken_one_has_not_started_in_time(CancellationToken stop)
    {
        var held = _locks.TryAcquire(Name, stop)!;
        await Keeper.WaitQueue.MarkParkedAsync((await Keeper.WaitQueue.EnqueueAsync(new(_runs.Id, "0", "slow"), Request, default, blocks: false, stop)).Entry!, blocks: false, stop);
        await ParkAsync(1, atMost: null, stop);
        held.Dispose();
        Assert.That((await _runs.NextAsync(stop)).Address.Run, Is.EqualTo("0"));

        _clock.Advance(new JobLocksOptions().WakeTimeout + TimeSpan.FromSeconds(1));

        Assert.That((await _runs.NextAsync(stop)).Address.Run, Is.EqualTo("1"));
    }

    [Test]
    public async Task Sets_no_timer_while_no_run_waits(CancellationToken stop)
    {
        using var held = _locks.TryAcquire(Name, stop);
        var entry = await ParkAsync(0, atMost: null, stop);
        Assert.That(_clock.Timers, Is.EqualTo(1), "the next sweep");

        await Keeper.WaitQueue.DequeueAsync(entry, blocks: false, stop);
        _clock.Advance(TimeSpan.FromMinutes(1));

        Assert.That(_clock.Timers, Is.Zero);
    }

    [Test]
    public async Task Removes_a_run_that_its_store_does_not_have_any_more(CancellationToken stop)
    {
        using var held = _locks.TryAcquire(Name, stop);
        await ParkAsync(0, atMost: null, stop);
        _runs.State = static _ => ParkedRunState.Gone;

        _clock.Advance(TimeSpan.FromSeconds(5));
        while (await Keeper.WaitQueue.FindAsync(new(_runs.Id, "0", ""), blocks: false, stop) is not null)
        {
            stop.ThrowIfCancellationRequested();
            await Task.Yield();
        }

        Assert.That(_runs.Woken, Is.Zero);
    }

    [Test]
    public async Task Wakes_no_run_whose_lock_is_held(CancellationToken stop)
    {
        var held = _locks.TryAcquire(Name, stop)!;
        await ParkAsync(0, atMost: null, stop);

        Keeper.WaitQueue.WakeNext(Key);
        var entry = await Keeper.WaitQueue.FindAsync(new(_runs.Id, "0", ""), blocks: false, stop);
        held.Dispose();

        Assert.That(entry!.BypassesQueue, Is.False);
        Assert.That((await _runs.NextAsync(stop)).Address.Run, Is.EqualTo("0"));
    }

    [Test]
    public async Task Wakes_no_more_runs_than_slots_are_free(CancellationToken stop)
    {
        var request = new LockRequest(Name, Key, limit: 2);
        var held = new List<JobLockHandle>();
        for (var i = 0; i < 2; i++) held.AddRange((await Keeper.TryAcquireAllAsync([request], new() { Run = "holder" }, null, blocks: false, stop)).Handles);
        for (var i = 0; i < 4; i++)
        {
            var entry = (await Keeper.WaitQueue.EnqueueAsync(new(_runs.Id, $"{i}", ""), request, default, blocks: false, stop)).Entry!;
            await Keeper.WaitQueue.MarkParkedAsync(entry, blocks: false, stop);
        }

        foreach (var handle in held) handle.Dispose();
        Keeper.WaitQueue.WakeNext(Key);
        string[] woken = [(await _runs.NextAsync(stop)).Address.Run, (await _runs.NextAsync(stop)).Address.Run];

        using (Assert.EnterMultipleScope())
        {
            Assert.That(woken, Is.EqualTo(["0", "1"]));
            Assert.That((await _locks.Inspector.GetWaitingAsync(Key, stop: stop)).Items.Select(static run => run.WokenAt is not null), Is.EqualTo([true, true, false, false]));
        }
    }

    [Test]
    public async Task Loses_one_lock_on_demand(CancellationToken stop)
    {
        using var held = _locks.TryAcquire(Name, stop)!;
        using var other = _locks.TryAcquire("other", stop)!;
        var lost = held.Lost;

        var count = _locks.Lose(Key, new InvalidOperationException("the test wants it"));
        Assert.That(async () => await Task.Delay(Timeout.InfiniteTimeSpan, lost).WaitAsync(stop), Throws.InstanceOf<OperationCanceledException>());

        using (Assert.EnterMultipleScope())
        {
            Assert.That(count, Is.EqualTo(1));
            Assert.That(held.LostReason, Is.EqualTo($"The lock {Name} was lost with the connection that held it: the test wants it."));
            Assert.That(other.Lost.IsCancellationRequested, Is.False);
            Assert.That((await _locks.Inspector.GetOverviewAsync(stop)).Held, Is.EqualTo(1));
            Assert.That(_locks.Lose(Key), Is.Zero, "a lock is lost once");
        }
    }

    [Test]
    public void Loses_all_locks_on_demand(CancellationToken stop)
    {
        using var held = _locks.TryAcquire(Name, stop)!;
        using var first = _locks.TryAcquire("read", LockMode.Shared, stop)!;
        using var second = _locks.TryAcquire("read", LockMode.Shared, stop)!;

        Assert.That(_locks.LoseAll(), Is.EqualTo(3));
        Assert.That(new[] { held, first, second }.Select(static handle => handle.Lost.IsCancellationRequested), Is.All.True);
    }

    [Test]
    public void Acquires_nothing_in_a_transaction_of_PostgreSQL() =>
        Assert.That(async () => await _locks.TryAcquireAsync(Name, transaction: null!), Throws.InstanceOf<NotSupportedException>().With.Message.Contains(nameof(AdvisoryLocks)));

    [Test]
    public async Task Releases_the_lock_of_a_handle_that_was_dropped(CancellationToken stop)
    {
        Drop(stop);
        var waiting = _locks.AcquireAsync(Name, Timeout.InfiniteTimeSpan, stop);

        while (!waiting.IsCompleted)
        {
            stop.ThrowIfCancellationRequested();
            GC.Collect();
            GC.WaitForPendingFinalizers();
            await Task.Yield();
        }

        await (await waiting).DisposeAsync();
    }

    [Test]
    public async Task Wakes_runs_outside_of_the_context_of_the_run_that_released_the_lock(CancellationToken stop)
    {
        var seen = "nothing";
        var held = _locks.TryAcquire(Name, stop)!;
        await ParkAsync(0, atMost: null, stop);
        _runs.State = _ =>
        {
            seen = _ambient.Value;
            return ParkedRunState.Parked;
        };

        _ambient.Value = "the run that released the lock";
        held.Dispose();
        await _runs.NextAsync(stop);

        Assert.That(seen, Is.Null);
    }

    [Test]
    public void Rejects_options_that_are_out_of_range() =>
        Assert.That(static () => new InMemoryLocks(new() { LongestWaitQueue = 0 }), Throws.InstanceOf<OptionsValidationException>());

    [Test]
    public async Task Ends_the_wait_for_a_release_by_its_clock(CancellationToken stop)
    {
        using var held = _locks.TryAcquire(Name, stop)!;

        var requesting = _locks.Inspector.RequestReleaseAsync(Key, "Ada", TimeSpan.FromMinutes(1), stop);
        _clock.Advance(TimeSpan.FromMinutes(1));

        Assert.That(await requesting, Is.EqualTo(ReleaseAnswer.StillHeld));
        Assert.That(held.Lost.IsCancellationRequested, Is.True);
    }

    private static LockRequest Request => new(Name, Key);

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void Drop(CancellationToken stop) => _ = _locks.TryAcquire(Name, stop);

    private async Task<QueueEntry> ParkAsync(int run, TimeSpan? atMost, CancellationToken stop)
    {
        var entry = (await Keeper.WaitQueue.EnqueueAsync(new(_runs.Id, $"{run}", ""), Request, new(atMost, 0, KeepsNewest: false), blocks: false, stop)).Entry!;
        await Keeper.WaitQueue.MarkParkedAsync(entry, blocks: false, stop);
        return entry;
    }
}
