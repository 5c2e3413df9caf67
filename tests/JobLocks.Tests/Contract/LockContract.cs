namespace JobLocks.Tests.Contract;

/// <summary>Exclusive locks of names and keys.</summary>
[CancelAfter(60_000)]
public abstract class LockContract : ContractFixture
{
    private protected LockContract(ContractBackend backend)
        : base(backend)
    {
    }

    [Test]
    public async Task Refuses_a_second_holder(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);

        Assert.That(await Locks.TryAcquireAsync(Name, stop), Is.Null);
    }

    [Test]
    public async Task Grants_the_lock_again_after_its_release(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        await held.DisposeAsync();

        await using var next = await Locks.TryAcquireAsync(Name, stop);

        Assert.That(next, Is.Not.Null);
    }

    [Test]
    public async Task Releases_a_lock_once_however_often_its_handle_is_disposed(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        await held.DisposeAsync();
        await using var next = await HoldAsync(stop);
        await held.DisposeAsync();
        held.Dispose();

        Assert.That(await Locks.TryAcquireAsync(Name, stop), Is.Null);
    }

    [Test]
    public async Task Grants_other_names_meanwhile_and_distinguishes_capitals(CancellationToken stop)
    {
        await using var held = await HoldAsync(stop);
        await using var other = await Locks.TryAcquireAsync(Name.ToUpperInvariant(), stop);

        Assert.That(other, Is.Not.Null);
    }

    [Test]
    public async Task Uses_one_lock_for_a_name_and_its_key(CancellationToken stop)
    {
        await using var held = await Locks.TryAcquireAsync(Key, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(held!.Name, Is.Null);
            Assert.That(held.Key, Is.EqualTo(Key));
            Assert.That(await Locks.TryAcquireAsync(Name, stop), Is.Null);
        }
    }

    [Test]
    public async Task Puts_the_scope_before_a_name_and_not_before_a_key(CancellationToken stop)
    {
        Configure(static options => options.Scope = "billing");

        await using var byName = await Locks.TryAcquireAsync(Name, stop);
        await using var byKey = await Locks.TryAcquireAsync(Key, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(byName!.Name, Is.EqualTo($"billing:{Name}"));
            Assert.That(byName.Key, Is.EqualTo(LockKey.Of($"billing:{Name}")));
            Assert.That(byKey, Is.Not.Null);
        }
    }

    [Test]
    public void Rejects_a_name_a_mode_and_a_time_that_mean_nothing()
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(async () => await Locks.TryAcquireAsync(" "), Throws.ArgumentException);
            Assert.That(async () => await Locks.TryAcquireAsync("\ud83d"), Throws.ArgumentException);
            Assert.That(async () => await Locks.TryAcquireAsync(Name, (LockMode)7), Throws.InstanceOf<ArgumentOutOfRangeException>());
            Assert.That(async () => await Locks.AcquireAsync(Name, TimeSpan.FromSeconds(-2)), Throws.InstanceOf<ArgumentOutOfRangeException>());
            Assert.That(() => Locks.Acquire(Name, TimeSpan.FromDays(25)), Throws.InstanceOf<ArgumentOutOfRangeException>());
        }
    }

    [Test]
    public void Acquires_and_releases_on_the_calling_thread(CancellationToken stop)
    {
        using (var held = Locks.TryAcquire(Name, stop))
        {
            using var other = Locks.Acquire($"{Name} other", Patience, stop);

            using (Assert.EnterMultipleScope())
            {
                Assert.That(held, Is.Not.Null);
                Assert.That(Locks.TryAcquire(Key, stop), Is.Null);
                Assert.That(Locks.TryAcquire(Name, LockMode.Shared, stop), Is.Null);
            }
        }

        using var next = Locks.Acquire(Key, Patience, stop);
        Assert.That(next.Key, Is.EqualTo(Key));
    }

    [Test]
    public async Task Acquires_nothing_for_a_cancelled_caller(CancellationToken stop)
    {
        using var cancelled = new CancellationTokenSource();
        await cancelled.CancelAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(async () => await Locks.TryAcquireAsync(Name, cancelled.Token), Throws.InstanceOf<OperationCanceledException>());
            Assert.That(() => Locks.TryAcquire(Name, cancelled.Token), Throws.InstanceOf<OperationCanceledException>());
            Assert.That(async () => await Locks.AcquireAsync(Name, Patience, cancelled.Token), Throws.InstanceOf<OperationCanceledException>());
            Assert.That(async () => await Locks.TryAcquireAllAsync([Name], cancelled.Token), Throws.InstanceOf<OperationCanceledException>());
        }

        await using var free = await HoldAsync(stop);
    }

    [Test]
    public async Task Gives_each_grant_of_a_key_a_larger_fencing_token(CancellationToken stop)
    {
        var tokens = new List<long>();
        for (var i = 0; i < 10; i++)
        {
            await using var held = await Locks.AcquireAsync(Name, i % 2 == 0 ? LockMode.Exclusive : LockMode.Shared, Patience, stop);
            tokens.Add(held.FencingToken);
        }

        Assert.That(tokens, Is.Ordered.And.Unique);
        Assert.That(tokens[0], Is.Positive);
    }

    [Test]
    public async Task Names_the_holder_of_a_held_lock_only(CancellationToken stop)
    {
        var before = DateTimeOffset.UtcNow;
        var result = await Keeper.TryAcquireAllAsync([Request], new() { Run = "Hangfire job 7", Store = "Hangfire here" }, entry: null, blocks: false, stop);
        var holder = await Keeper.FindHolderAsync(Request, blocks: false, stop);
        await result.Handles[0].DisposeAsync();
        await using (await HoldAsync(stop))
        {
            // The former release is processed.
        }

        using (Assert.EnterMultipleScope())
        {
            Assert.That(holder!.Run, Is.EqualTo("Hangfire job 7"));
            Assert.That(holder.Store, Is.EqualTo("Hangfire here"));
            Assert.That(holder.Application, Is.EqualTo(new JobLocksOptions().ApplicationName));
            Assert.That(holder.Since, Is.InRange(before, DateTimeOffset.UtcNow));
            Assert.That(await Keeper.FindHolderAsync(new("free", LockKey.Of("free")), blocks: true, stop), Is.Null);
        }
    }

    [Test]
    public async Task Ends_with_its_disposal(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        var lost = held.Lost;
        var waiting = Locks.AcquireAsync(Name, Patience, stop);

        await DisposeLocksAsync();
        await held.DisposeAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(Keeper.IsClosed, Is.True);
            Assert.That(async () => await Task.Delay(Patience, lost), Throws.InstanceOf<OperationCanceledException>());
            Assert.That(async () => await waiting, Throws.InstanceOf<ObjectDisposedException>());
            Assert.That(async () => await Locks.TryAcquireAsync(Name, stop), Throws.InstanceOf<ObjectDisposedException>());
            Assert.That(async () => await Locks.AcquireAsync(Name, Patience, stop), Throws.InstanceOf<ObjectDisposedException>());
            Assert.That(() => Locks.TryAcquireAll([Name], stop), Throws.InstanceOf<ObjectDisposedException>());
        }
    }

    [Test]
    public async Task Cancels_the_token_of_a_handle_whose_lock_is_lost(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        var lost = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        held.Lost.Register(lost.SetResult);

        await LoseAllAsync();
        await lost.Task.WaitAsync(Patience, stop);

        Assert.That(held.IsLost, Is.True);
        await held.DisposeAsync();
    }

    [Test]
    public async Task Keeps_a_lost_lock_taken_until_its_handle_is_disposed(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        var token = held.FencingToken;
        var lost = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        held.Lost.Register(lost.SetResult);
        await LoseAllAsync();
        await lost.Task.WaitAsync(Patience, stop);

        Assert.That(await Locks.TryAcquireAsync(Name, stop), Is.Null);

        await held.DisposeAsync();
        await using var next = await Locks.AcquireAsync(Name, Patience, stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(next.FencingToken, Is.GreaterThan(token));
            Assert.That(next.Lost.IsCancellationRequested, Is.False);
        }
    }
}

/// <summary>The contract over PostgreSQL.</summary>
[TestFixture]
public sealed class PostgresLockTests() : LockContract(new PostgresBackend());

/// <summary>The contract in memory.</summary>
[TestFixture]
public sealed class InMemoryLockTests() : LockContract(new InMemoryBackend());
