using System.Collections.Concurrent;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Kinds;

/// <summary>Who waits for a lock gets it in turn, whoever held it and however that ended, and leaves nothing behind when giving up.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class WaitingTests : TwoInstances
{
    [Test]
    public async Task Serves_those_who_wait_in_one_process_in_the_order_of_their_arrival(CancellationToken stop)
    {
        var held = await Locks.AcquireAsync(Name, Patience, stop);
        var order = new ConcurrentQueue<int>();
        // Each stands in line before its call returns.
        var waiting = Enumerable.Range(0, 30).Select(i => EnterAsync(i, Locks.AcquireAsync(Name, Patience, stop))).ToList();

        await held.DisposeAsync();
        await Task.WhenAll(waiting).WaitAsync(Patience, stop);

        Assert.That(order, Is.EqualTo(Enumerable.Range(0, 30)));

        async Task EnterAsync(int i, Task<JobLockHandle> acquiring)
        {
            await using var handle = await acquiring;
            order.Enqueue(i);
        }
    }

    [Test]
    public async Task Serves_them_in_this_order_after_another_process_too(CancellationToken stop)
    {
        var held = await Others.AcquireAsync(Name, Patience, stop);
        var order = new ConcurrentQueue<int>();
        var waiting = Enumerable.Range(0, 10).Select(i => EnterAsync(i, Locks.AcquireAsync(Name, Patience, stop))).ToList();
        await Markers.WhenShownAsync(Database, Markers.Waiting, stop);

        await held.DisposeAsync();
        await Task.WhenAll(waiting).WaitAsync(Patience, stop);

        Assert.That(order, Is.EqualTo(Enumerable.Range(0, 10)));

        async Task EnterAsync(int i, Task<JobLockHandle> acquiring)
        {
            await using var handle = await acquiring;
            order.Enqueue(i);
        }
    }

    [Test]
    public async Task Lets_no_newcomer_pass_those_who_wait(CancellationToken stop)
    {
        var held = await Others.AcquireAsync(Name, Patience, stop);
        var waiting = Locks.AcquireAsync(Name, Patience, stop);
        await Markers.WhenShownAsync(Database, Markers.Waiting, stop);

        await held.DisposeAsync();
        await SettleAsync(Others, stop);
        Assert.That(await Locks.TryAcquireAsync(Name, stop), Is.Null, "it is the turn, or already the lock, of the one who waited");

        await using var handle = await waiting.WaitAsync(Patience, stop);
        Assert.That(handle.Lost.IsCancellationRequested, Is.False);
    }

    [TestCase(false), TestCase(true)]
    public async Task Goes_to_the_next_when_one_who_waits_gives_up(bool heldHere, CancellationToken stop)
    {
        var held = await (heldHere ? Locks : Others).AcquireAsync(Name, Patience, stop);
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
    public async Task Leaves_no_marker_when_the_only_one_who_waits_gives_up(CancellationToken stop)
    {
        await using var held = await Others.AcquireAsync(Name, Patience, stop);
        using var impatient = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var waiting = Locks.AcquireAsync(Name, Timeout.InfiniteTimeSpan, impatient.Token);
        await Markers.WhenShownAsync(Database, Markers.Waiting, stop);

        await impatient.CancelAsync();
        Assert.That(async () => await waiting, Throws.InstanceOf<OperationCanceledException>());

        await Markers.WhenShownAsync(Database, Markers.Waiting, stop, sessions: 0);
        await Markers.WhenShownAsync(Database, Markers.Writing, stop, sessions: 0);
        Assert.That(await LockTable.CountUntilAsync(Database, 1), Is.EqualTo(1), "the holder's own");
    }

    /// <summary>The grant and the end of the caller's patience meet in every way that they can; whoever loses, the lock does not.</summary>
    [TestCase(false), TestCase(true)]
    public async Task Gives_back_what_is_granted_to_one_who_has_just_given_up(bool heldHere, CancellationToken stop)
    {
        var (got, gaveUp) = (0, 0);
        for (var round = 0; round < 300; round++)
        {
            var held = await (heldHere ? Locks : Others).AcquireAsync(Name, Patience, stop);
            using var impatient = CancellationTokenSource.CreateLinkedTokenSource(stop);
            var waiting = Locks.AcquireAsync(Name, Timeout.InfiniteTimeSpan, impatient.Token);

            var cancelling = Task.Run(impatient.Cancel, stop);
            if (round % 2 == 0) await Task.Yield();
            await held.DisposeAsync();
            await cancelling;
            try
            {
                await using var handle = await waiting.WaitAsync(Patience, stop);
                got++;
            }
            catch (OperationCanceledException)
            {
                gaveUp++;
            }
        }

        await using (await Others.AcquireAsync(Name, Patience, stop)) Assert.That(got + gaveUp, Is.EqualTo(300));
        await SettleAsync(Locks, stop);
        await SettleAsync(Others, stop);
        Assert.That(await LockTable.CountLeftAsync(Database), Is.Zero);
    }

    [Test]
    public async Task Gives_back_what_is_granted_to_one_who_only_tried_and_has_given_up(CancellationToken stop)
    {
        for (var round = 0; round < 200; round++)
        {
            using var impatient = CancellationTokenSource.CreateLinkedTokenSource(stop);
            var trying = Task.Run(() => Locks.TryAcquireAsync(Name, impatient.Token), stop);
            await Task.Yield();
            await impatient.CancelAsync();
            try
            {
                await using var handle = await trying;
            }
            catch (OperationCanceledException)
            {
                // In time.
            }
        }

        await using var next = await Others.AcquireAsync(Name, Patience, stop);
        Assert.That(next.Lost.IsCancellationRequested, Is.False);
    }

    [Test]
    public async Task Leaves_no_sign_of_a_writer_who_gave_up_behind_a_reader(CancellationToken stop)
    {
        for (var round = 0; round < 100; round++)
        {
            await using var held = await Others.AcquireAsync(Name, LockMode.Exclusive, Patience, stop);
            using var readersPatience = CancellationTokenSource.CreateLinkedTokenSource(stop);
            using var writersPatience = CancellationTokenSource.CreateLinkedTokenSource(stop);
            var reading = Locks.AcquireAsync(Name, LockMode.Shared, Timeout.InfiniteTimeSpan, readersPatience.Token);
            var writing = Locks.AcquireAsync(Name, LockMode.Exclusive, Timeout.InfiniteTimeSpan, writersPatience.Token);
            if (round % 2 == 0) await Markers.WhenShownAsync(Database, Markers.Waiting, stop);

            await readersPatience.CancelAsync();
            await Task.Yield();
            await writersPatience.CancelAsync();

            Assert.That(async () => await reading, Throws.InstanceOf<OperationCanceledException>());
            Assert.That(async () => await writing, Throws.InstanceOf<OperationCanceledException>());
        }

        await using var reader = await Others.AcquireAsync(Name, LockMode.Shared, Patience, stop);
        await Markers.WhenShownAsync(Database, Markers.Writing, stop, sessions: 0);
        await Markers.WhenShownAsync(Database, Markers.Waiting, stop, sessions: 0);
    }

    [Test]
    public async Task Uses_one_connection_to_hold_and_one_to_listen_however_many_wait(CancellationToken stop)
    {
        var application = $"waits-{Guid.NewGuid():N}";
        var locks = AdvisoryLocks.Connect(Database, options => options.ApplicationName = application);
        var held = new List<JobLockHandle>();
        for (var i = 0; i < 20; i++) held.Add(await Others.AcquireAsync($"{Name}{i}", Patience, stop));
        await using (await locks.AcquireAsync(Name, Patience, stop))
            Assert.That(await ConnectionsAsync(application), Is.EqualTo(1), "nobody waits, nobody listens");

        var waiting = held.SelectMany(_ => held).Select((_, i) => locks.AcquireAsync($"{Name}{i % 20}", Patience, stop)).ToList();
        var done = waiting.Select(static async acquiring => await (await acquiring).DisposeAsync()).ToList();
        await Markers.UntilAsync(async () => await ConnectionsAsync(application) == 2, stop);
        await Markers.WhenShownAsync(Database, Markers.Waiting, stop, sessions: 20);
        Assert.That(await ConnectionsAsync(application), Is.EqualTo(2));
        foreach (var handle in held) await handle.DisposeAsync();
        await Task.WhenAll(done).WaitAsync(Patience, stop);
        Assert.That(await ConnectionsAsync(application), Is.EqualTo(2));

        await locks.DisposeAsync();
        await Markers.UntilAsync(async () => await ConnectionsAsync(application) == 0, stop);
    }

    [Test]
    public async Task Keeps_no_connection_when_it_is_disposed_while_a_caller_waits(CancellationToken stop)
    {
        var application = $"ends-{Guid.NewGuid():N}";
        await using var held = await Others.AcquireAsync(Name, Patience, stop);
        for (var round = 0; round < 20; round++)
        {
            var locks = AdvisoryLocks.Connect(Database, options => options.ApplicationName = application);
            var waiting = locks.AcquireAsync(Name, Timeout.InfiniteTimeSpan, stop);
            if (round % 2 == 0) await Markers.WhenShownAsync(Database, Markers.Waiting, stop);

            await locks.DisposeAsync();

            Assert.That(async () => await waiting.WaitAsync(Patience, stop), Throws.InstanceOf<ObjectDisposedException>());
            await Markers.WhenShownAsync(Database, Markers.Waiting, stop, sessions: 0);
        }

        await Markers.UntilAsync(async () => await ConnectionsAsync(application) == 0, stop);
    }

    [Test]
    public async Task Gets_the_lock_when_the_process_that_holds_it_is_killed(CancellationToken stop)
    {
        using var other = OtherProcess.Start(Database, Name);
        Assert.That(await other.SaysAsync(stop), Is.EqualTo("held"));
        var waiting = Locks.AcquireAsync(Name, Patience, stop);
        var behind = Locks.AcquireAsync(Name, Patience, stop);
        await Markers.WhenShownAsync(Database, Markers.Waiting, stop);

        await other.KillAsync(stop);

        await (await waiting.WaitAsync(Patience, stop)).DisposeAsync();
        await using var handle = await behind.WaitAsync(Patience, stop);
        Assert.That(handle.Name, Is.EqualTo(Name));
    }

    [Test]
    public async Task Goes_to_another_process_when_one_that_waits_is_gone(CancellationToken stop)
    {
        var held = await Others.AcquireAsync(Name, Patience, stop);
        await using var thirds = AdvisoryLocks.Connect(Database);
        var gone = thirds.AcquireAsync(Name, Patience, stop);
        var waiting = Locks.AcquireAsync(Name, Patience, stop);
        await Markers.WhenShownAsync(Database, Markers.Waiting, stop, sessions: 2);

        await thirds.DisposeAsync();
        await held.DisposeAsync();

        Assert.That(async () => await gone, Throws.InstanceOf<ObjectDisposedException>());
        await using var handle = await waiting.WaitAsync(Patience, stop);
        Assert.That(handle.Name, Is.EqualTo(Name));
    }

    [Test]
    public async Task Lets_a_hundred_tasks_in_one_after_the_other(CancellationToken stop)
    {
        var (inside, most, entered) = (0, 0, 0);

        await Task.WhenAll(Enumerable.Range(0, 100).Select(async i =>
        {
            await using var handle = await (i % 2 == 0 ? Locks : Others).AcquireAsync(Name, Patience, stop);
            most = Math.Max(most, Interlocked.Increment(ref inside));
            entered++;
            await Task.Yield();
            Interlocked.Decrement(ref inside);
        })).WaitAsync(Patience, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(most, Is.EqualTo(1));
            Assert.That(entered, Is.EqualTo(100));
        }
    }

    [Test]
    public void Lets_a_hundred_threads_in_one_after_the_other(CancellationToken stop)
    {
        var (inside, most, entered) = (0, 0, 0);
        var threads = Enumerable.Range(0, 100).Select(i => new Thread(() =>
        {
            using var handle = (i % 2 == 0 ? Locks : Others).Acquire(Name, Patience, stop);
            most = Math.Max(most, Interlocked.Increment(ref inside));
            entered++;
            Thread.Yield();
            Interlocked.Decrement(ref inside);
        })).ToList();

        foreach (var thread in threads) thread.Start();
        foreach (var thread in threads) thread.Join();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(most, Is.EqualTo(1));
            Assert.That(entered, Is.EqualTo(100));
        }
    }

    [Test]
    public async Task Needs_no_thread_of_the_pool_for_synchronous_callers(CancellationToken stop)
    {
        var held = await Others.AcquireAsync(Name, Patience, stop);
        using var other = OtherProcess.BlockPool(Database, Name);

        Assert.That(await other.SaysAsync(stop), Is.EqualTo("200"), "four threads took turns fifty times");
        Assert.That(await other.SaysAsync(stop), Is.EqualTo(BlockedPool.Waits));
        await Markers.WhenShownAsync(Database, Markers.Waiting, stop);
        await held.DisposeAsync();

        Assert.That(await other.SaysAsync(stop), Is.EqualTo(BlockedPool.Got));
        await other.EndAsync(stop);
    }

    [Test]
    public async Task Gives_up_synchronously_when_told_or_when_it_is_time(CancellationToken stop)
    {
        await using var held = await Others.AcquireAsync(Name, Patience, stop);
        using var impatient = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var cancelling = Markers.WhenShownAsync(Database, Markers.Waiting, stop).ContinueWith(_ => impatient.Cancel(), stop, TaskContinuationOptions.None, TaskScheduler.Default);

        Assert.That(() => Locks.Acquire(Name, Timeout.InfiniteTimeSpan, impatient.Token), Throws.InstanceOf<OperationCanceledException>());
        await cancelling;
        var error = Assert.Throws<TimeoutException>(() => Locks.Acquire(Name, TimeSpan.FromMilliseconds(100), stop));

        Assert.That(error!.Message, Does.StartWith($"{Name} was not free within 0.1 s. It is held by"));
        await Markers.WhenShownAsync(Database, Markers.Waiting, stop, sessions: 0);
    }

    [Test]
    public async Task Does_not_delay_other_names(CancellationToken stop)
    {
        await using var held = await Others.AcquireAsync(Name, Patience, stop);
        using var impatient = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var waiting = Locks.AcquireAsync(Name, Timeout.InfiniteTimeSpan, impatient.Token);
        await Markers.WhenShownAsync(Database, Markers.Waiting, stop);

        for (var i = 0; i < 100; i++)
        {
            await using var other = await Locks.TryAcquireAsync($"{Name}{i}", stop);
            Assert.That(other, Is.Not.Null);
        }

        Assert.That(waiting.IsCompleted, Is.False);
        await impatient.CancelAsync();
        Assert.That(async () => await waiting, Throws.InstanceOf<OperationCanceledException>());
    }

    private async Task<long> ConnectionsAsync(string application) =>
        (long)(await LockTable.AskAsync(Database, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1", application))!;
}
