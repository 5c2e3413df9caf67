using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Kinds;

/// <summary>Readers together, or one writer alone; and a writer that waits is let in before readers that come later.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class SharedLockTests : TwoInstances
{
    [Test]
    public async Task Lets_readers_in_together_in_one_process_and_in_two(CancellationToken stop)
    {
        await using var first = await Locks.TryAcquireAsync(Name, LockMode.Shared, stop);
        await using var second = await Locks.TryAcquireAsync(LockKey.Of(Name), LockMode.Shared, stop);
        await using var third = await Others.TryAcquireAsync(Name, LockMode.Shared, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(new[] { first, second, third }, Has.None.Null);
            Assert.That(await LockTable.CountUntilAsync(Database, 2), Is.EqualTo(2), "one lock for each session, however many readers it has");
        }
    }

    [Test]
    public async Task Keeps_a_writer_out_while_anybody_reads(CancellationToken stop)
    {
        await using var reader = await Locks.TryAcquireAsync(Name, LockMode.Shared, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await Others.TryAcquireAsync(Name, LockMode.Exclusive, stop), Is.Null);
            Assert.That(await Others.TryAcquireAsync(Name, stop), Is.Null);
            Assert.That(await Others.TryAcquireAsync(LockKey.Of(Name), LockMode.Exclusive, stop), Is.Null);
            Assert.That(Others.TryAcquire(Name, stop), Is.Null);
        }
    }

    [Test]
    public async Task Keeps_readers_and_writers_out_while_one_writes(CancellationToken stop)
    {
        await using var writer = await Locks.TryAcquireAsync(Name, LockMode.Exclusive, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(writer, Is.Not.Null);
            foreach (var locks in new[] { Locks, Others })
            {
                Assert.That(await locks.TryAcquireAsync(Name, LockMode.Shared, stop), Is.Null);
                Assert.That(await locks.TryAcquireAsync(Name, LockMode.Exclusive, stop), Is.Null);
                Assert.That(locks.TryAcquire(Name, LockMode.Shared, stop), Is.Null);
            }
        }
    }

    [Test]
    public async Task Is_not_upgraded_and_stays_a_readers_lock(CancellationToken stop)
    {
        await using var reader = await Locks.TryAcquireAsync(Name, LockMode.Shared, stop);

        Assert.That(await Locks.TryAcquireAsync(Name, LockMode.Exclusive, stop), Is.Null);
        await Assert.ThrowsAsync<TimeoutException>(() => Locks.AcquireAsync(Name, LockMode.Exclusive, TimeSpan.FromMilliseconds(50), stop));

        await using var another = await Others.AcquireAsync(Name, LockMode.Shared, Patience, stop);
        Assert.That(reader!.Lost.IsCancellationRequested, Is.False);
    }

    [Test]
    public async Task Is_not_taken_to_read_by_a_process_that_writes(CancellationToken stop)
    {
        await using var writer = await Locks.TryAcquireAsync(Name, LockMode.Exclusive, stop);

        Assert.That(await Locks.TryAcquireAsync(Name, LockMode.Shared, stop), Is.Null);
        Assert.That(await Others.TryAcquireAsync(Name, LockMode.Shared, stop), Is.Null, "the writer still has it alone");
    }

    [Test]
    public async Task Is_free_when_the_last_reader_has_left(CancellationToken stop)
    {
        var first = await Locks.TryAcquireAsync(Name, LockMode.Shared, stop);
        var second = await Locks.TryAcquireAsync(Name, LockMode.Shared, stop);
        await first!.DisposeAsync();
        await first.DisposeAsync();
        await SettleAsync(Locks, stop);
        Assert.That(await Others.TryAcquireAsync(Name, LockMode.Exclusive, stop), Is.Null, "the second still reads");

        await second!.DisposeAsync();
        await SettleAsync(Locks, stop);

        await using var writer = await Others.TryAcquireAsync(Name, LockMode.Exclusive, stop);
        Assert.That(writer, Is.Not.Null);
    }

    [Test]
    public async Task Changes_from_readers_to_a_writer_and_back_in_one_process(CancellationToken stop)
    {
        for (var round = 0; round < 20; round++)
        {
            using (var reader = Locks.TryAcquire(Name, LockMode.Shared, stop)) Assert.That(reader, Is.Not.Null);
            using (var writer = Locks.TryAcquire(Name, LockMode.Exclusive, stop)) Assert.That(writer, Is.Not.Null);
            using (var reader = Locks.Acquire(Name, LockMode.Shared, Patience, stop)) Assert.That(reader.Name, Is.EqualTo(Name));
        }

        await SettleAsync(Locks, stop);
        await using var other = await Others.TryAcquireAsync(Name, stop);
        Assert.That(other, Is.Not.Null);
    }

    [Test]
    public async Task Lets_no_reader_of_the_same_process_pass_a_writer_that_waits(CancellationToken stop)
    {
        var reader = await Locks.TryAcquireAsync(Name, LockMode.Shared, stop);
        var writing = Locks.AcquireAsync(Name, LockMode.Exclusive, Patience, stop);
        var reading = Locks.AcquireAsync(Name, LockMode.Shared, Patience, stop);
        Assert.That(await Locks.TryAcquireAsync(Name, LockMode.Shared, stop), Is.Null);

        await reader!.DisposeAsync();
        var writer = await writing.WaitAsync(Patience, stop);
        Assert.That(reading.IsCompleted, Is.False);
        await writer.DisposeAsync();

        await using var late = await reading.WaitAsync(Patience, stop);
        Assert.That(late.Lost.IsCancellationRequested, Is.False);
    }

    [Test]
    public async Task Lets_no_reader_of_another_process_pass_a_writer_that_waits(CancellationToken stop)
    {
        await using var thirds = AdvisoryLocks.Connect(Database);
        var reader = await Locks.TryAcquireAsync(Name, LockMode.Shared, stop);
        var writing = Others.AcquireAsync(Name, LockMode.Exclusive, Patience, stop);
        await Markers.WhenShownAsync(Database, Markers.Writing, stop);

        Assert.That(await Locks.TryAcquireAsync(Name, LockMode.Shared, stop), Is.Null, "nor one that would share what its process has");
        Assert.That(await thirds.TryAcquireAsync(Name, LockMode.Shared, stop), Is.Null);
        var reading = Locks.AcquireAsync(Name, LockMode.Shared, Patience, stop);
        await reader!.DisposeAsync();
        var writer = await writing.WaitAsync(Patience, stop);
        Assert.That(await thirds.TryAcquireAsync(Name, LockMode.Shared, stop), Is.Null);
        Assert.That(reading.IsCompleted, Is.False);
        await writer.DisposeAsync();

        await using var late = await reading.WaitAsync(Patience, stop);
        await using var later = await thirds.AcquireAsync(Name, LockMode.Shared, Patience, stop);
        Assert.That(late.Key, Is.EqualTo(later.Key));
    }

    [Test]
    public async Task Lets_readers_in_again_when_the_writer_gives_up(CancellationToken stop)
    {
        await using var reader = await Locks.TryAcquireAsync(Name, LockMode.Shared, stop);
        using var impatient = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var writing = Others.AcquireAsync(Name, LockMode.Exclusive, Timeout.InfiniteTimeSpan, impatient.Token);
        await Markers.WhenShownAsync(Database, Markers.Writing, stop);
        var reading = Locks.AcquireAsync(Name, LockMode.Shared, Patience, stop);

        await impatient.CancelAsync();

        Assert.That(async () => await writing, Throws.InstanceOf<OperationCanceledException>());
        await using var late = await reading.WaitAsync(Patience, stop);
        await using var other = await Others.AcquireAsync(Name, LockMode.Shared, Patience, stop);
        Assert.That(other.Key, Is.EqualTo(late.Key));
    }

    [Test]
    public async Task Lets_all_readers_that_wait_in_together_when_the_writer_leaves(CancellationToken stop)
    {
        var writer = await Locks.TryAcquireAsync(Name, LockMode.Exclusive, stop);
        var reading = Enumerable.Range(0, 20).Select(i => (i % 2 == 0 ? Locks : Others).AcquireAsync(Name, LockMode.Shared, Patience, stop)).ToList();

        await writer!.DisposeAsync();

        // None leaves before the last has come.
        var readers = await Task.WhenAll(reading).WaitAsync(Patience, stop);
        foreach (var reader in readers) await reader.DisposeAsync();
        Assert.That(readers, Has.Length.EqualTo(20));
    }

    [TestCase(false), TestCase(true)]
    public async Task Does_not_starve_a_writer_among_readers_that_come_and_go(bool inTheirProcess, CancellationToken stop)
    {
        using var over = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var readers = Enumerable.Range(0, 4).Select(_ => Task.Run(() => ReadOnAndOnAsync(started, over.Token), CancellationToken.None)).ToList();
        await started.Task.WaitAsync(Patience, stop);

        for (var round = 0; round < 5; round++)
        {
            await using var writer = await (inTheirProcess ? Locks : Others).AcquireAsync(Name, LockMode.Exclusive, Patience, stop);
        }

        await over.CancelAsync();
        await Task.WhenAll(readers);
    }

    [Test]
    public async Task Never_has_a_writer_inside_with_anybody_else(CancellationToken stop)
    {
        var (readers, writers, wrong, done) = (0, 0, 0, 0);

        await Parallel.ForAsync(0, 200, new ParallelOptions { MaxDegreeOfParallelism = 16, CancellationToken = stop }, async (i, token) =>
        {
            var mode = i % 4 == 0 ? LockMode.Exclusive : LockMode.Shared;
            await using var handle = await (i % 3 == 0 ? Locks : Others).AcquireAsync(Name, mode, Patience, token);
            if (mode == LockMode.Exclusive)
            {
                if (Interlocked.Increment(ref writers) > 1 || Volatile.Read(ref readers) > 0) Interlocked.Increment(ref wrong);
                await Task.Yield();
                Interlocked.Decrement(ref writers);
            }
            else
            {
                Interlocked.Increment(ref readers);
                if (Volatile.Read(ref writers) > 0) Interlocked.Increment(ref wrong);
                await Task.Yield();
                Interlocked.Decrement(ref readers);
            }

            Interlocked.Increment(ref done);
        });

        using (Assert.EnterMultipleScope())
        {
            Assert.That(wrong, Is.Zero);
            Assert.That(done, Is.EqualTo(200));
        }
    }

    [Test]
    public async Task Reads_together_with_plain_SQL(CancellationToken stop)
    {
        await using var psql = await Raw.OpenAsync(Database, stop);
        var key = LockKey.Of(Name).Value;
        await using (var take = new NpgsqlCommand("SELECT pg_try_advisory_lock_shared($1)", psql) { Parameters = { new() { Value = key } } })
            Assert.That(await take.ExecuteScalarAsync(stop), Is.True);

        await using var reader = await Locks.TryAcquireAsync(Name, LockMode.Shared, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(reader, Is.Not.Null);
            Assert.That(await Others.TryAcquireAsync(Name, stop), Is.Null);
        }
    }

    [Test]
    public async Task Refuses_a_mode_that_there_is_not()
    {
        var error = await Assert.ThrowsAsync<ArgumentOutOfRangeException>(() => Locks.TryAcquireAsync(Name, (LockMode)7));

        Assert.That(error!.Message, Does.Contain("Exclusive").And.Contain("Shared"));
    }

    private async Task ReadOnAndOnAsync(TaskCompletionSource started, CancellationToken over)
    {
        JobLockHandle? held = null;
        while (!over.IsCancellationRequested)
        {
            // The next one is asked for before this one is left: between them, readers leave no gap.
            var next = await Locks.TryAcquireAsync(Name, LockMode.Shared, CancellationToken.None);
            held?.Dispose();
            held = next ?? await Locks.AcquireAsync(Name, LockMode.Shared, Patience, CancellationToken.None);
            started.TrySetResult();
        }

        held?.Dispose();
    }
}
