using System.Diagnostics;
using JobLocks.Gate;
using JobLocks.Locks;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Kinds;

/// <summary>Several locks at once: all of them or none, whatever others take in whatever order.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class AllOrNoneTests : TwoInstances
{
    private const int Tries = 100_000;
    private const int Names = 40;

    [Test]
    public async Task Takes_all_in_the_order_of_their_names(CancellationToken stop)
    {
        var names = Enumerable.Range(0, 8).Select(i => $"{Name}{i}").ToList();

        await using var taken = await Locks.TryAcquireAllAsync(names, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(taken!.Select(static handle => handle.Name), Is.EqualTo(names));
            Assert.That(taken!.Select(static handle => handle.Key), Is.EqualTo(names.Select(LockKey.Of)));
            Assert.That(taken!.Lost.IsCancellationRequested, Is.False);
            Assert.That(await LockTable.CountUntilAsync(Database, 8), Is.EqualTo(8));
            foreach (var name in names) Assert.That(await Others.TryAcquireAsync(name, stop), Is.Null);
        }
    }

    [Test]
    public async Task Counts_a_name_that_is_there_twice_once(CancellationToken stop)
    {
        var taken = await Locks.TryAcquireAllAsync([$"{Name}b", $"{Name}a", $"{Name}b", $"{Name}a"], stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(taken!.Select(static handle => handle.Name), Is.EqualTo(new[] { $"{Name}b", $"{Name}a" }));
            Assert.That(await LockTable.CountUntilAsync(Database, 2), Is.EqualTo(2));
        }

        await taken!.DisposeAsync();
        await taken.DisposeAsync();
        await SettleAsync(Locks, stop);
        Assert.That(await LockTable.CountLeftAsync(Database), Is.Zero, "one release frees each");
    }

    [Test]
    public async Task Counts_two_names_with_the_same_key_as_one_lock(CancellationToken stop)
    {
        // No two such names are known. So both requests have the key of a third name.
        var key = LockKey.Of(Name);
        LockRequest[] requests = [new($"{Name}a", key), new($"{Name}b", key)];
        var run = new Holder { Run = "a run of a test" };

        var taken = await ((ILockBackend)Locks).TryAcquireAllAsync(requests, run, entry: null, blocks: false, stop);
        var refused = await ((ILockBackend)Others).TryAcquireAllAsync([requests[1]], run, entry: null, blocks: false, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(taken.Handles.Select(static handle => handle.Name), Is.EqualTo([$"{Name}a"]));
            Assert.That(refused.Refused, Is.SameAs(requests[1]));
            Assert.That(await LockTable.CountUntilAsync(Database, 1), Is.EqualTo(1));
        }

        await taken.Handles[0].DisposeAsync();
        await SettleAsync(Locks, stop);
        await using var next = await Others.TryAcquireAsync(key, stop);
        Assert.That(next, Is.Not.Null, "one release frees the key");
    }

    [TestCase(true), TestCase(false)]
    public async Task Holds_nothing_when_one_is_refused(bool byThisProcess, CancellationToken stop)
    {
        var names = Enumerable.Range(0, 8).Select(i => $"{Name}{i}").ToList();
        foreach (var held in names)
        {
            await using var holder = await (byThisProcess ? Locks : Others).AcquireAsync(held, Patience, stop);

            Assert.That(await Locks.TryAcquireAllAsync(names, stop), Is.Null);
            Assert.That(Locks.TryAcquireAll(names, stop), Is.Null);

            await SettleAsync(Locks, stop);
            Assert.That(await LockTable.CountUntilAsync(Database, 1), Is.EqualTo(1), "the holder's own");
        }

        await SettleAsync(Others, stop);
        await using var taken = await Locks.TryAcquireAllAsync(names, stop);
        Assert.That(taken, Has.Count.EqualTo(8));
    }

    [Test]
    public async Task Leaves_the_holder_that_refused_it_alone(CancellationToken stop)
    {
        await using var held = await Locks.TryAcquireAllAsync([$"{Name}a", $"{Name}b"], stop);

        Assert.That(await Locks.TryAcquireAllAsync([$"{Name}b", $"{Name}c"], stop), Is.Null);
        Assert.That(await Others.TryAcquireAllAsync([$"{Name}c", $"{Name}a"], stop), Is.Null);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await Others.TryAcquireAsync($"{Name}a", stop), Is.Null);
            Assert.That(await Others.TryAcquireAsync($"{Name}b", stop), Is.Null);
        }
    }

    [Test]
    public async Task Puts_the_scope_before_each_name(CancellationToken stop)
    {
        await using var billing = AdvisoryLocks.Connect(Database, static options => options.Scope = "billing");
        await using var taken = await billing.TryAcquireAllAsync([$"{Name}a", $"{Name}b"], stop);

        Assert.That(taken!.Select(static handle => handle.Name), Is.EqualTo(new[] { $"billing:{Name}a", $"billing:{Name}b" }));
    }

    [Test]
    public async Task Refuses_bad_arguments_at_once()
    {
        using (Assert.EnterMultipleScope())
        {
            await Assert.ThrowsAsync<ArgumentException>(() => Locks.TryAcquireAllAsync([]));
            await Assert.ThrowsAsync<ArgumentNullException>(() => Locks.TryAcquireAllAsync(null!));
            await Assert.ThrowsAsync<ArgumentException>(() => Locks.TryAcquireAllAsync([Name, " "]));
            Assert.Throws<ArgumentException>(() => Locks.TryAcquireAll([]));
            await Assert.ThrowsAsync<OperationCanceledException>(() => Locks.TryAcquireAllAsync([Name], new CancellationToken(canceled: true)));
        }
    }

    [Test]
    public async Task Holds_nothing_when_the_caller_gives_up_on_the_way(CancellationToken stop)
    {
        var names = Enumerable.Range(0, 50).Select(i => $"{Name}{i}").ToList();
        for (var round = 0; round < 100; round++)
        {
            using var impatient = CancellationTokenSource.CreateLinkedTokenSource(stop);
            var taking = Task.Run(() => Locks.TryAcquireAllAsync(names, impatient.Token), stop);
            await Task.Yield();
            await impatient.CancelAsync();

            try
            {
                await using var taken = await taking;
            }
            catch (OperationCanceledException)
            {
                // In time.
            }
        }

        // The first may be asked together with the last of those that were given up.
        await SettleAsync(Locks, stop);
        await SettleAsync(Locks, stop);
        Assert.That(await LockTable.CountLeftAsync(Database), Is.Zero);
    }

    /// <summary>10^5 tries for two to four of forty names in random order, by eight tasks of each of two instances: some are granted, some are refused
    /// by the server, and most by the process itself, which asks for nothing then.</summary>
    [Test]
    public async Task Neither_deadlocks_nor_leaks_where_many_take_overlapping_sets(CancellationToken stop)
    {
        var names = Enumerable.Range(0, Names).Select(i => $"{Name}{i}").ToList();
        var owners = new int[Names];
        var (tried, granted, wrong) = (0, 0, 0);
        var took = Stopwatch.StartNew();

        await Parallel.ForAsync(0, 16, new ParallelOptions { MaxDegreeOfParallelism = 16, CancellationToken = stop }, async (worker, token) =>
        {
            var random = new Random(worker);
            var locks = worker % 2 == 0 ? Locks : Others;
            while (Interlocked.Increment(ref tried) <= Tries)
            {
                var set = Enumerable.Range(0, random.Next(2, 5)).Select(_ => random.Next(Names)).ToList();
                await using var taken = await locks.TryAcquireAllAsync(set.Select(i => names[i]), token);
                if (taken is null)
                {
                    await Task.Yield();
                    continue;
                }

                Interlocked.Increment(ref granted);
                foreach (var i in set.Distinct())
                {
                    if (Interlocked.CompareExchange(ref owners[i], worker + 1, 0) != 0) Interlocked.Increment(ref wrong);
                }

                foreach (var i in set.Distinct()) Interlocked.CompareExchange(ref owners[i], 0, worker + 1);
            }
        });

        await SettleAsync(Locks, stop);
        await SettleAsync(Others, stop);
        await TestContext.Out.WriteLineAsync($"{Tries} tries, {granted} granted, {took.Elapsed.TotalSeconds:0.0} s");
        using (Assert.EnterMultipleScope())
        {
            Assert.That(wrong, Is.Zero, "two had one name");
            Assert.That(granted, Is.GreaterThan(1000));
            Assert.That(await LockTable.CountLeftAsync(Database), Is.Zero);
        }

        await using var all = await Others.TryAcquireAllAsync(names, stop);
        Assert.That(all, Has.Count.EqualTo(Names));
    }
}
