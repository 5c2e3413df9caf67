using JobLocks.Gate;
using JobLocks.Locks;
using JobLocks.Naming;
using JobLocks.Primitives;
using JobLocks.Rules;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Kinds;

/// <summary>So many at once have the lock of a name, over all processes.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class LimitTests : TwoInstances
{
    private static readonly Holder Run = new() { Run = "a run of a test" };

    [Test]
    public async Task Lets_so_many_in_over_all_processes_and_no_more(CancellationToken stop)
    {
        await using var thirds = AdvisoryLocks.Connect(Database);
        AdvisoryLocks[] all = [Locks, Others, thirds];
        var taken = new List<JobLockHandle?>();
        for (var i = 0; i < 9; i++) taken.Add(await TryTakeAsync(all[i % 3], 5, stop));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(taken.Take(5), Has.None.Null);
            Assert.That(taken.Skip(5), Has.All.Null);
            Assert.That(taken.Take(5).Select(static handle => handle!.Key).Distinct().Count(), Is.EqualTo(5));
            Assert.That(taken.Take(5).Select(static handle => handle!.Name), Has.All.EqualTo(Name));
            Assert.That(await LockTable.CountUntilAsync(Database, 5), Is.EqualTo(5));
        }

        foreach (var handle in taken) handle?.Dispose();
        foreach (var locks in all) await SettleAsync(locks, stop);
    }

    [Test]
    public async Task Warns_with_both_numbers_where_another_process_said_another_one(CancellationToken stop)
    {
        using var log = new LogLines();
        await using var threes = AdvisoryLocks.Connect(Database, static options => options.ApplicationName = "threes");
        await using var fives = AdvisoryLocks.Connect(Database, loggers: log);
        (await TryTakeAsync(threes, 3, stop))!.Dispose();
        // Answered after what was asked before: by then the number is written down.
        await threes.EnsureSessionAsync(stop);

        (await TryTakeAsync(fives, 5, stop))!.Dispose();
        await fives.EnsureSessionAsync(stop);

        Assert.That(log.Text, Does.Contain($"{Name} is limited to 5 here, but to 3 by threes"));
    }

    [Test]
    public async Task Fills_again_after_it_was_drained(CancellationToken stop)
    {
        for (var round = 0; round < 10; round++)
        {
            var taken = new List<JobLockHandle>();
            for (var i = 0; i < 4; i++) taken.Add((await TryTakeAsync(i % 2 == 0 ? Locks : Others, 4, stop))!);
            Assert.That(await TryTakeAsync(Locks, 4, stop), Is.Null);
            Assert.That(taken, Has.None.Null);

            foreach (var handle in taken) await handle.DisposeAsync();
            await SettleAsync(Locks, stop);
            await SettleAsync(Others, stop);
            Assert.That(await LockTable.CountLeftAsync(Database), Is.Zero);
        }
    }

    [Test]
    public async Task Gives_the_slot_of_a_run_that_ended_to_another_process(CancellationToken stop)
    {
        await using var first = await TryTakeAsync(Locks, 2, stop);
        var second = await TryTakeAsync(Locks, 2, stop);
        Assert.That(await TryTakeAsync(Others, 2, stop), Is.Null);

        await second!.DisposeAsync();
        await SettleAsync(Locks, stop);

        await using var third = await TryTakeAsync(Others, 2, stop);
        Assert.That(third!.Key, Is.EqualTo(second.Key).And.Not.EqualTo(first!.Key));
    }

    [Test]
    public async Task Never_gives_two_requests_of_one_process_the_same_slot(CancellationToken stop)
    {
        for (var round = 0; round < 20; round++)
        {
            var taken = await Task.WhenAll(Enumerable.Range(0, 12).Select(_ => Task.Run(() => TryTakeAsync(Locks, 8, stop), stop)));

            var handles = taken.OfType<JobLockHandle>().ToList();
            Assert.That(handles.Select(static handle => handle.Key), Is.Unique);
            Assert.That(handles, Has.Count.EqualTo(8));
            Assert.That(await LockTable.CountUntilAsync(Database, 8), Is.EqualTo(8));
            foreach (var handle in handles) await handle.DisposeAsync();
            await SettleAsync(Locks, stop);
        }
    }

    [Test]
    public async Task Never_lets_more_in_however_many_ask_at_once(CancellationToken stop)
    {
        var (inside, most, entered) = (0, 0, 0);

        await Parallel.ForAsync(0, 400, new ParallelOptions { MaxDegreeOfParallelism = 16, CancellationToken = stop }, async (i, token) =>
        {
            await using var handle = await TryTakeAsync(i % 2 == 0 ? Locks : Others, 3, token);
            if (handle is null) return;

            var now = Interlocked.Increment(ref inside);
            for (var seen = most; now > seen; seen = most) Interlocked.CompareExchange(ref most, now, seen);
            Interlocked.Increment(ref entered);
            await Task.Yield();
            Interlocked.Decrement(ref inside);
        });

        using (Assert.EnterMultipleScope())
        {
            Assert.That(most, Is.InRange(1, 3));
            Assert.That(entered, Is.GreaterThanOrEqualTo(3));
        }
    }

    [Test]
    public async Task Excludes_a_lock_without_a_limit_and_plain_SQL_from_the_first_slot(CancellationToken stop)
    {
        var taken = new List<JobLockHandle>();
        for (var i = 0; i < 3; i++) taken.Add((await TryTakeAsync(Locks, 3, stop))!);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await Others.TryAcquireAsync(Name, stop), Is.Null);
            Assert.That(await Locks.TryAcquireAsync(Name, stop), Is.Null);
            Assert.That(await TryTakeAsync(Others, 1, stop), Is.Null);
            Assert.That(await LockTable.AskAsync(Database, "SELECT pg_try_advisory_lock($1)", LockKey.Of(Name).Value), Is.False);
        }

        foreach (var handle in taken) await handle.DisposeAsync();
    }

    [Test]
    public async Task Leaves_the_first_slot_to_a_lock_without_a_limit_and_to_plain_SQL(CancellationToken stop)
    {
        await using var psql = await Raw.OpenAsync(Database, stop);
        Assert.That(await psql.AskAsync($"SELECT pg_try_advisory_lock({LockKey.Of(Name)})", stop), Is.True);

        await using var second = await TryTakeAsync(Locks, 2, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(second!.Key, Is.Not.EqualTo(LockKey.Of(Name)));
            Assert.That(await TryTakeAsync(Others, 2, stop), Is.Null);
            Assert.That(await TryTakeAsync(Others, 1, stop), Is.Null);
        }

        await psql.AskAsync($"SELECT pg_advisory_unlock({LockKey.Of(Name)})", stop);
        await using var first = await TryTakeAsync(Others, 2, stop);
        Assert.That(first!.Key, Is.EqualTo(LockKey.Of(Name)));
    }

    [Test]
    public async Task Never_lets_more_in_than_the_larger_of_two_limits(CancellationToken stop)
    {
        var taken = new List<JobLockHandle>();
        for (var i = 0; i < 12; i++)
        {
            if (await TryTakeAsync(i % 2 == 0 ? Locks : Others, i % 2 == 0 ? 2 : 4, stop) is { } handle) taken.Add(handle);
        }

        using (Assert.EnterMultipleScope())
        {
            Assert.That(taken, Has.Count.LessThanOrEqualTo(4).And.Count.GreaterThanOrEqualTo(2));
            Assert.That(taken.Select(static handle => handle.Key), Is.Unique);
        }

        foreach (var handle in taken) await handle.DisposeAsync();
    }

    [Test]
    public async Task Has_a_slot_for_each_of_a_thousand(CancellationToken stop)
    {
        var taken = new List<JobLockHandle>();
        for (var i = 0; i < 1000; i++) taken.Add((await TryTakeAsync(i % 2 == 0 ? Locks : Others, 1000, stop))!);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(taken, Has.None.Null);
            Assert.That(await TryTakeAsync(Others, 1000, stop), Is.Null);
            Assert.That(await LockTable.CountUntilAsync(Database, 1000), Is.EqualTo(1000));
        }

        foreach (var handle in taken) await handle.DisposeAsync();
    }

    /// <summary>A default server has room for 1,600 locks of one process. A request for a place asks for one of them, not for all places.</summary>
    [Test]
    public async Task Counts_one_lock_for_each_request_however_many_slots_there_are(CancellationToken stop)
    {
        var names = Enumerable.Range(0, 30).Select(i => $"{Name}{i}").ToList();

        var taken = await Task.WhenAll(names.Select(name => Task.Run(() => TryTakeAsync(Locks, name, 1000, stop), stop)));

        Assert.That(taken, Has.None.Null);
        foreach (var handle in taken) await handle!.DisposeAsync();
    }

    [Test]
    public async Task Acquires_a_slot_and_another_lock_together_or_neither(CancellationToken stop)
    {
        var other = $"other({Name})";
        LockRequest[] both = [RequestFor(Name, 2), RequestFor(other, 1)];
        await using (await Others.AcquireAsync(other, Patience, stop))
        {
            var refused = await ((ILockBackend)Locks).TryAcquireAllAsync(both, Run, null, blocks: false, stop);
            Assert.That(refused.Refused!.Name, Is.EqualTo(other));
            await SettleAsync(Locks, stop);
            Assert.That(await LockTable.CountUntilAsync(Database, 1), Is.EqualTo(1), "the place was given back");
        }

        await SettleAsync(Others, stop);
        var granted = await ((ILockBackend)Locks).TryAcquireAllAsync(both, Run, null, blocks: false, stop);
        Assert.That(granted.Handles.Select(static handle => handle.Name), Is.EqualTo(new[] { Name, other }));
        foreach (var handle in granted.Handles) await handle.DisposeAsync();
    }

    [Test]
    public async Task Acquires_slots_synchronously_too(CancellationToken stop)
    {
        var keeper = (ILockBackend)Locks;
        AcquireResult Take() => Blocking.Wait(keeper.TryAcquireAllAsync([RequestFor(Name, 2)], Run, null, blocks: true, stop).AsTask());
        var first = Take();
        var second = Take();
        var third = Take();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(third.Refused, Is.Not.Null);
            Assert.That((await keeper.FindHolderAsync(RequestFor(Name, 2), blocks: true, stop))!.ToString(), Does.StartWith("a run of a test on"));
            Assert.That((await ((ILockBackend)Others).FindHolderAsync(RequestFor(Name, 2), blocks: false, stop))!.Backend, Is.Not.Null);
        }

        first.Handles[0].Dispose();
        second.Handles[0].Dispose();
    }

    [TestCase(0), TestCase(-1), TestCase(1001)]
    public void Is_refused_where_it_admits_no_run_or_too_many(int limit)
    {
        var error = Assert.Throws<JobLockRuleException>(() => Rule(new("sync", OnConflict.Wait, 15) { Limit = limit }));

        Assert.That(error!.Message, Does.StartWith($"[JobLock(\"sync\", Limit = {limit})] on ClientSync has Limit = {limit}").And.EndsWith("Use 1 to 1000."));
    }

    [Test]
    public void Is_refused_for_readers()
    {
        var error = Assert.Throws<JobLockRuleException>(() => Rule(new("sync", OnConflict.Wait, 15) { Limit = 2, Mode = LockMode.Shared }));

        Assert.That(error!.Message, Does.StartWith("[JobLock(\"sync\", Mode = LockMode.Shared, Limit = 2)] on ClientSync").And.EndsWith("Leave one of them out."));
    }

    [TestCase(1), TestCase(1000)]
    public void Is_accepted_up_to_a_thousand(int limit) =>
        Assert.That(Rule(new("sync", OnConflict.Wait, 15) { Limit = limit }).Limit, Is.EqualTo(limit));

    private static LockRule Rule(LockDeclaration declaration) => LockRule.For(declaration, JobSignature.Of(typeof(ClientSync)));

    private static LockRequest RequestFor(string name, int limit) => new(name, LockKey.Of(name), LockMode.Exclusive, limit);

    private Task<JobLockHandle?> TryTakeAsync(AdvisoryLocks locks, int limit, CancellationToken stop) => TryTakeAsync(locks, Name, limit, stop);

    private static async Task<JobLockHandle?> TryTakeAsync(AdvisoryLocks locks, string name, int limit, CancellationToken stop)
    {
        var taken = await ((ILockBackend)locks).TryAcquireAllAsync([RequestFor(name, limit)], Run, null, blocks: false, stop);
        return taken.Refused is null ? taken.Handles[0] : null;
    }
}
