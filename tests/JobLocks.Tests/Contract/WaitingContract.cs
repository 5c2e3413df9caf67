using System.Collections.Concurrent;

namespace JobLocks.Tests.Contract;

/// <summary>Callers that wait for a lock in their process.</summary>
[CancelAfter(60_000)]
public abstract class WaitingContract : ContractFixture
{
    private protected WaitingContract(ContractBackend backend)
        : base(backend)
    {
    }

    [Test]
    public async Task Grants_the_lock_to_waiters_in_the_order_of_arrival(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        var order = new ConcurrentQueue<int>();
        // Each of them waits before its call returns.
        var waiting = Enumerable.Range(0, 20).Select(i => UseAsync(i, Locks.AcquireAsync(Name, Patience, stop))).ToList();

        await held.DisposeAsync();
        await Task.WhenAll(waiting).WaitAsync(Patience, stop);

        Assert.That(order, Is.EqualTo(Enumerable.Range(0, 20)));

        async Task UseAsync(int i, Task<JobLockHandle> acquired)
        {
            await using var handle = await acquired;
            order.Enqueue(i);
        }
    }

    [Test]
    public async Task Lets_one_holder_at_a_time_through(CancellationToken stop)
    {
        var (inside, overlaps, held) = (0, 0, 0);

        await Parallel.ForAsync(0, 400, new ParallelOptions { MaxDegreeOfParallelism = 16, CancellationToken = stop }, async (_, token) =>
        {
            await using var handle = await Locks.AcquireAsync(Name, Patience, token);
            if (Interlocked.Increment(ref inside) > 1) Interlocked.Increment(ref overlaps);
            held++;
            await Task.Yield();
            Interlocked.Decrement(ref inside);
        });

        Assert.That((overlaps, held), Is.EqualTo((0, 400)));
    }

    [Test]
    public async Task Lets_no_newcomer_pass_a_waiter(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        var first = Locks.AcquireAsync(Name, Patience, stop);
        var second = Locks.AcquireAsync(Name, Patience, stop);

        await held.DisposeAsync();
        var newcomer = await Locks.TryAcquireAsync(Name, stop);
        await (await first).DisposeAsync();
        await using var next = await second;

        Assert.That(newcomer, Is.Null);
    }

    [Test]
    public async Task Names_the_holder_when_a_wait_times_out(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);

        Assert.That(
            async () => await Locks.AcquireAsync(Name, TimeSpan.FromMilliseconds(50), stop),
            Throws.InstanceOf<TimeoutException>().With.Message.StartsWith($"{Name} was not free within 0.05 s. It is held by code that acquired it by hand on "));
    }

    [Test]
    public async Task Names_the_holder_when_a_blocked_thread_times_out(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);

        Assert.That(
            () => Locks.Acquire(Name, TimeSpan.FromMilliseconds(50), stop),
            Throws.InstanceOf<TimeoutException>().With.Message.StartsWith($"{Name} was not free within 0.05 s. It is held by code that acquired it by hand on "));
    }

    [Test]
    public async Task Serves_the_next_waiter_when_one_has_stopped_waiting(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        using var impatient = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var first = Locks.AcquireAsync(Name, Timeout.InfiniteTimeSpan, impatient.Token);
        var second = Locks.AcquireAsync(Name, TimeSpan.FromMilliseconds(1), stop);
        var third = Locks.AcquireAsync(Name, Patience, stop);

        await impatient.CancelAsync();
        Assert.That(async () => await first, Throws.InstanceOf<OperationCanceledException>());
        Assert.That(async () => await second, Throws.InstanceOf<TimeoutException>());
        await held.DisposeAsync();

        await using var handle = await third.WaitAsync(Patience, stop);
        Assert.That(handle.Name, Is.EqualTo(Name));
    }

    [Test]
    public async Task Releases_a_lock_that_is_granted_to_a_caller_that_has_just_stopped_waiting(CancellationToken stop)
    {
        for (var round = 0; round < 100; round++)
        {
            var held = await Locks.AcquireAsync(Name, Patience, stop);
            using var impatient = CancellationTokenSource.CreateLinkedTokenSource(stop);
            var waiting = Locks.AcquireAsync(Name, Timeout.InfiniteTimeSpan, impatient.Token);

            // The grant and the cancellation meet.
            var cancelling = Task.Run(impatient.Cancel, stop);
            if (round % 2 == 0) await Task.Yield();
            await held.DisposeAsync();
            await cancelling;
            try
            {
                await (await waiting).DisposeAsync();
            }
            catch (OperationCanceledException)
            {
                // The cancellation was first.
            }
        }

        await using var free = await Locks.AcquireAsync(Name, Patience, stop);
    }

    [Test]
    public async Task Blocks_a_thread_until_the_lock_is_free(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        var waiting = Task.Factory.StartNew(() => Locks.Acquire(Name, Patience, stop), stop, TaskCreationOptions.LongRunning, TaskScheduler.Default);

        await held.DisposeAsync();

        await using var handle = await waiting.WaitAsync(Patience, stop);
        Assert.That(handle.Name, Is.EqualTo(Name));
    }

    [Test]
    public async Task Ends_the_wait_of_a_blocked_thread_that_is_cancelled(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        using var impatient = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var waiting = Task.Factory.StartNew(() => Locks.Acquire(Name, Patience, impatient.Token), stop, TaskCreationOptions.LongRunning, TaskScheduler.Default);

        await impatient.CancelAsync();

        Assert.That(async () => await waiting.WaitAsync(Patience, stop), Throws.InstanceOf<OperationCanceledException>());
    }

    [Test]
    public async Task Goes_behind_the_runs_that_wait_and_before_those_that_come_later(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        await ParkAsync(0, stop);
        await held.DisposeAsync();
        Assert.That(await NextWokenAsync(stop), Is.Zero);
        // The lock is free, and the woken run goes first. A caller that waits has its position when it was refused for that.
        var waiting = Locks.AcquireAsync(Name, Patience, stop);
        await (await Locks.TryAcquireAsync($"{Name} processed", stop))!.DisposeAsync();
        var later = await EnqueueAsync(1, Request, stop);

        // Over PostgreSQL, a request is also refused while the server is asked for a waiting caller, even if that caller is behind.
        JobLockHandle? first = null;
        while (first is null) first = await TryEnterAsync(0, stop);
        await first.DisposeAsync();
        await using var handle = await waiting.WaitAsync(Patience, stop);

        Assert.That((await RequestAsync(later, stop)).Refused, Is.Not.Null);
        await Queue.DequeueAsync(later, blocks: false, stop);
    }

    [Test]
    public async Task Does_not_starve_a_writer_that_waits_for_readers(CancellationToken stop)
    {
        var firstReader = await Locks.AcquireAsync(Name, LockMode.Shared, Patience, stop);
        var writer = Locks.AcquireAsync(Name, LockMode.Exclusive, Patience, stop);
        var secondReader = Locks.AcquireAsync(Name, LockMode.Shared, Patience, stop);
        var refused = await Locks.TryAcquireAsync(Name, LockMode.Shared, stop);

        await firstReader.DisposeAsync();
        var written = await writer.WaitAsync(Patience, stop);
        Assert.That(secondReader.IsCompleted, Is.False);
        await written.DisposeAsync();
        await using var read = await secondReader.WaitAsync(Patience, stop);

        Assert.That(refused, Is.Null);
    }
}

/// <summary>The contract over PostgreSQL.</summary>
[TestFixture]
public sealed class PostgresWaitingTests() : WaitingContract(new PostgresBackend());

/// <summary>The contract in memory.</summary>
[TestFixture]
public sealed class InMemoryWaitingTests() : WaitingContract(new InMemoryBackend());
