using JobLocks.Locks;

namespace JobLocks.Tests.Contract;

/// <summary>Shared locks, limits, and several locks together.</summary>
[CancelAfter(60_000)]
public abstract class KindContract : ContractFixture
{
    private protected KindContract(ContractBackend backend)
        : base(backend)
    {
    }

    [Test]
    public async Task Grants_readers_together_under_one_fencing_token(CancellationToken stop)
    {
        await using var first = await Locks.TryAcquireAsync(Name, LockMode.Shared, stop);
        await using var second = await Locks.TryAcquireAsync(Key, LockMode.Shared, stop);

        Assert.That(second!.FencingToken, Is.EqualTo(first!.FencingToken));
    }

    [Test]
    public async Task Excludes_a_writer_until_the_last_reader_has_released(CancellationToken stop)
    {
        var first = await Locks.TryAcquireAsync(Name, LockMode.Shared, stop);
        var second = await Locks.TryAcquireAsync(Name, LockMode.Shared, stop);
        await first!.DisposeAsync();

        Assert.That(await Locks.TryAcquireAsync(Name, stop), Is.Null);

        await second!.DisposeAsync();
        await using var writer = await Locks.TryAcquireAsync(Name, stop);
        Assert.That(writer, Is.Not.Null);
    }

    [Test]
    public async Task Excludes_readers_while_a_writer_holds_the_lock(CancellationToken stop)
    {
        await using var writer = await HoldAsync(stop);

        Assert.That(await Locks.TryAcquireAsync(Name, LockMode.Shared, stop), Is.Null);
    }

    [Test]
    public async Task Admits_as_many_holders_as_the_limit_says(CancellationToken stop)
    {
        var request = new LockRequest(Name, Key, limit: 3);
        var held = await HoldSlotsAsync(request, 3, stop);

        var refused = await Keeper.TryAcquireAllAsync([request], new() { Run = "too many" }, entry: null, blocks: false, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(refused.Refused?.Key, Is.EqualTo(Key));
            Assert.That(refused.IsRefusedForQueue, Is.False);
            Assert.That(held.Select(static handle => handle.Key), Is.EquivalentTo(request.Slots));
            Assert.That(held.Select(static handle => handle.NameKey).Distinct(), Is.EqualTo([Key]));
        }

        foreach (var handle in held) await handle.DisposeAsync();
    }

    [Test]
    public async Task Grants_a_slot_again_after_its_release(CancellationToken stop)
    {
        var request = new LockRequest(Name, Key, limit: 2);
        var held = await HoldSlotsAsync(request, 2, stop);
        var freed = held[1].Key;
        await held[1].DisposeAsync();

        var next = (await HoldSlotsAsync(request, 1, stop))[0];

        Assert.That(next.Key, Is.EqualTo(freed));
        await held[0].DisposeAsync();
        await next.DisposeAsync();
    }

    [Test]
    public async Task Counts_a_holder_without_a_limit_as_the_holder_of_the_first_slot(CancellationToken stop)
    {
        var request = new LockRequest(Name, Key, limit: 2);
        await using var plain = await HoldAsync(stop);
        await using var slot = (await HoldSlotsAsync(request, 1, stop))[0];

        var refused = await Keeper.TryAcquireAllAsync([request], new() { Run = "too many" }, entry: null, blocks: false, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(slot.Key, Is.EqualTo(request.Slots[1]));
            Assert.That(refused.Refused, Is.Not.Null);
        }
    }

    [Test]
    public async Task Names_a_holder_of_any_slot(CancellationToken stop)
    {
        var request = new LockRequest(Name, Key, limit: 2);
        await using var plain = await HoldAsync(stop);
        await using var slot = (await HoldSlotsAsync(request, 1, stop))[0];
        await plain.DisposeAsync();

        Assert.That((await Keeper.FindHolderAsync(request, blocks: false, stop))?.Run, Is.EqualTo("holder of a slot"));
    }

    [Test]
    public async Task Acquires_all_names_or_none(CancellationToken stop)
    {
        var held = await HoldAsync(stop);

        Assert.That(await Locks.TryAcquireAllAsync([$"{Name} a", Name, $"{Name} b"], stop), Is.Null);
        await using (var a = await Locks.TryAcquireAsync($"{Name} a", stop))
        await using (var b = await Locks.TryAcquireAsync($"{Name} b", stop))
        {
            Assert.That(a is not null && b is not null, Is.True, "no lock of the refused set is kept");
        }

        await held.DisposeAsync();
        await using var set = await Locks.TryAcquireAllAsync([$"{Name} a", Name, $"{Name} b"], stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(set!.Select(static handle => handle.Name), Is.EqualTo([$"{Name} a", Name, $"{Name} b"]));
            Assert.That(await Locks.TryAcquireAsync($"{Name} a", stop), Is.Null);
        }
    }

    [Test]
    public void Counts_duplicates_of_a_name_once(CancellationToken stop)
    {
        using var set = Locks.TryAcquireAll([$"{Name} b", Name, $"{Name} b", Name], stop);

        Assert.That(set!.Select(static handle => handle.Name), Is.EqualTo([$"{Name} b", Name]));
    }

    [Test]
    public void Rejects_an_empty_set() => Assert.That(async () => await Locks.TryAcquireAllAsync([]), Throws.ArgumentException);

    [Test]
    public async Task Does_not_deadlock_sets_in_opposite_orders(CancellationToken stop)
    {
        var granted = 0;
        await Parallel.ForAsync(0, 200, new ParallelOptions { MaxDegreeOfParallelism = 8, CancellationToken = stop }, async (i, token) =>
        {
            string[] names = i % 2 == 0 ? [$"{Name} a", $"{Name} b"] : [$"{Name} b", $"{Name} a"];
            await using var set = await Locks.TryAcquireAllAsync(names, token);
            if (set is not null) Interlocked.Increment(ref granted);
        });

        Assert.That(granted, Is.Positive);
    }

    [Test]
    public async Task Refuses_another_name_with_the_key_of_a_held_lock(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        var namesake = new LockRequest($"{Name} other", Key);

        var result = await Keeper.TryAcquireAllAsync([namesake], new() { Run = "Test job 1" }, entry: null, blocks: false, stop);
        await held.DisposeAsync();
        var next = await Keeper.TryAcquireAllAsync([namesake], new() { Run = "Test job 1" }, entry: null, blocks: false, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(result.Refused, Is.SameAs(namesake));
            Assert.That(next.Handles.Select(static handle => handle.Name), Is.EqualTo([namesake.Name]));
        }

        await next.Handles[0].DisposeAsync();
    }

    [Test]
    public async Task Names_the_refused_request_of_several(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        var other = new LockRequest($"{Name} other", LockKey.Of($"{Name} other"));

        var result = await Keeper.TryAcquireAllAsync([other, Request], new() { Run = "Test job 1" }, entry: null, blocks: true, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(result.Refused?.Key, Is.EqualTo(Key));
            Assert.That(result.Handles, Is.Empty);
        }
    }

    private async Task<IReadOnlyList<JobLockHandle>> HoldSlotsAsync(LockRequest request, int count, CancellationToken stop)
    {
        var held = new List<JobLockHandle>();
        for (var i = 0; i < count; i++)
            held.AddRange((await Keeper.TryAcquireAllAsync([request], new() { Run = "holder of a slot" }, entry: null, blocks: false, stop)).Handles);
        Assert.That(held, Has.Count.EqualTo(count));
        return held;
    }
}

/// <summary>The contract over PostgreSQL.</summary>
[TestFixture]
public sealed class PostgresKindTests() : KindContract(new PostgresBackend());

/// <summary>The contract in memory.</summary>
[TestFixture]
public sealed class InMemoryKindTests() : KindContract(new InMemoryBackend());
