using System.Globalization;
using JobLocks.Gate;
using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Faults;

/// <summary>The share of the server's lock table that a process may use counts locks on the server, not callers in the process. Has a small server of its own.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class LockTableShareTests
{
    // A quarter of max_locks_per_transaction times max_connections.
    private const int Share = 50;
    private const int Crowd = 2000;

    private PostgresServer _server = null!;
    private AdvisoryLocks _locks = null!;

    [OneTimeSetUp]
    public async Task StartServer()
    {
        _server = await PostgresServer.StartAsync("max_connections = 20\nsuperuser_reserved_connections = 0\nmax_locks_per_transaction = 10\n");
        if (!_server.CanRestart) Assert.Ignore("The server is not ours, and its lock table is larger than a test should fill.");
    }

    [OneTimeTearDown]
    public async Task StopServer() => await _server.DisposeAsync();

    [SetUp]
    public void Connect() => _locks = AdvisoryLocks.Connect(_server.ConnectionString);

    [TearDown]
    public async Task Leaves_no_lock_behind()
    {
        await _locks.DisposeAsync();

        Assert.That(await LockTable.CountLeftAsync(_server.ConnectionString), Is.Zero);
    }

    [TestCase(true), TestCase(false)]
    public async Task Grants_the_lock_to_each_of_two_thousand_waiters_of_one_name(bool isOpen, CancellationToken stop)
    {
        if (isOpen) (await _locks.TryAcquireAsync("first", stop))!.Dispose();
        var (inside, overlaps, turns) = (0, 0, 0);
        async Task EnterAsync()
        {
            await using var handle = await _locks.AcquireAsync("crowd", Timeout.InfiniteTimeSpan, stop);
            if (Interlocked.Increment(ref inside) > 1) Interlocked.Increment(ref overlaps);
            turns++;
            Interlocked.Decrement(ref inside);
        }

        await Task.WhenAll(Enumerable.Range(0, Crowd).Select(_ => EnterAsync()));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(turns, Is.EqualTo(Crowd));
            Assert.That(overlaps, Is.Zero);
        }
    }

    [Test]
    public async Task Grants_the_lock_to_each_waiter_while_another_process_holds_it_at_first(CancellationToken stop)
    {
        await using var others = AdvisoryLocks.Connect(_server.ConnectionString);
        var held = (await others.TryAcquireAsync("crowd", stop))!;

        var waiting = Enumerable.Range(0, Crowd).Select(_ => UseAsync(_locks.AcquireAsync("crowd", Timeout.InfiniteTimeSpan, stop))).ToList();
        await Markers.WhenShownAsync(_server.ConnectionString, Markers.Waiting, stop);
        await held.DisposeAsync();

        await Task.WhenAll(waiting);
    }

    [Test]
    public async Task Counts_readers_who_share_a_lock_as_one(CancellationToken stop)
    {
        var readers = await Task.WhenAll(Enumerable.Range(0, Crowd).Select(_ => _locks.AcquireAsync("read", LockMode.Shared, Timeout.InfiniteTimeSpan, stop)));
        var writers = Enumerable.Range(0, Crowd).Select(_ => UseAsync(_locks.AcquireAsync("read", Timeout.InfiniteTimeSpan, stop))).ToList();

        foreach (var reader in readers) reader.Dispose();

        await Task.WhenAll(writers);
    }

    [Test]
    public async Task Forgets_waiters_who_gave_up(CancellationToken stop)
    {
        var held = (await _locks.TryAcquireAsync("crowd", stop))!;
        using var gaveUp = new CancellationTokenSource();
        var waiting = Enumerable.Range(0, Crowd).Select(number => _locks.AcquireAsync(number % 2 == 0 ? "crowd" : "crowd 2", Timeout.InfiniteTimeSpan, gaveUp.Token)).ToList();
        await gaveUp.CancelAsync();
        foreach (var one in waiting)
        {
            try
            {
                (await one).Dispose();
            }
            catch (OperationCanceledException)
            {
                // It waited.
            }
        }

        await held.DisposeAsync();
        var all = await _locks.TryAcquireAllAsync(Enumerable.Range(0, Share).Select(static number => $"all-{number}"), stop);

        Assert.That(all, Is.Not.Null);
        all!.Dispose();
    }

    [Test]
    public async Task Refuses_a_held_name_without_an_error_when_the_share_is_used_up(CancellationToken stop)
    {
        using var all = (await _locks.TryAcquireAllAsync(Names("all", Share), stop))!;

        var refused = await Task.WhenAll(Enumerable.Range(0, Crowd).Select(_ => _locks.TryAcquireAsync("all-0", stop)));
        var none = await _locks.TryAcquireAllAsync(["all-0", "all-1"], stop);
        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => _locks.TryAcquireAsync("one more", stop));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(refused, Is.All.Null);
            Assert.That(none, Is.Null);
            Assert.That(error!.Message, Does.Contain("needs 50 locks").And.Contain("1 more for this request").And.Contain("Its share is 50").And.Contain("max_locks_per_transaction"));
        }
    }

    [Test]
    public async Task Keeps_to_its_share_with_waiters_of_many_names(CancellationToken stop)
    {
        await using var others = AdvisoryLocks.Connect(_server.ConnectionString);
        using var held = (await others.TryAcquireAllAsync(Names("wait", Share - 1), stop))!;
        (await _locks.TryAcquireAsync("opens the session", stop))!.Dispose();

        var waiting = Names("wait", Share - 1).Select(name => UseAsync(_locks.AcquireAsync(name, Timeout.InfiniteTimeSpan, stop))).ToList();
        while (waiting.Count(static one => one.IsFaulted) < Share - 1 - (Share / 3)) await Task.Delay(10, stop);
        var errors = waiting.Where(static one => one.IsFaulted).Select(static one => one.Exception!.InnerException!).ToList();
        held.Dispose();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(errors, Is.All.TypeOf<JobLocksUnavailableException>());
            Assert.That(errors.Select(static error => error.Message), Is.All.Contain("Its share is 50"));
            Assert.That(waiting.Count(static one => !one.IsFaulted), Is.EqualTo(Share / 3).Within(1));
        }

        await Task.WhenAll(waiting.Where(static one => !one.IsFaulted));
    }

    [Test]
    public async Task Keeps_to_its_share_with_a_storm_on_a_limit(CancellationToken stop)
    {
        const int Limit = 200;
        var asked = Enumerable.Range(0, Crowd).Select(_ => TryTakeAsync("limited", Limit, stop)).ToList();

        var granted = new List<JobLockHandle>();
        foreach (var one in asked)
        {
            try
            {
                if (await one is { } handle) granted.Add(handle);
            }
            catch (JobLocksUnavailableException tooMany)
            {
                Assert.That(tooMany.Message, Does.Contain("Its share is 50"));
            }
        }

        Assert.That(granted, Has.Count.EqualTo(Share));
        foreach (var handle in granted) handle.Dispose();
    }

    [Test]
    public async Task Refuses_a_storm_on_a_small_limit_without_an_error(CancellationToken stop)
    {
        var granted = (await Task.WhenAll(Enumerable.Range(0, Crowd).Select(_ => TryTakeAsync("limited", 3, stop)))).OfType<JobLockHandle>().ToList();

        Assert.That(granted, Has.Count.EqualTo(3));
        foreach (var handle in granted) handle.Dispose();
    }

    [Test]
    public async Task Holds_ten_thousand_locks_and_shows_all_of_them(CancellationToken stop)
    {
        const int Many = 10_000;
        await using var server = await PostgresServer.StartAsync("max_connections = 100\nmax_locks_per_transaction = 400\n", stop);
        await using var locks = AdvisoryLocks.Connect(server.ConnectionString);

        var held = await Task.WhenAll(Names("many", Many).Select(name => locks.TryAcquireAsync(name, stop)));
        var tooMuch = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("too much", stop));
        var lastPage = await locks.Inspector.GetHeldAsync(skip: Many - 100, stop: stop);
        var lost = held.Count(static handle => handle is null or { IsLost: true });
        foreach (var handle in held) handle?.Dispose();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(lost, Is.Zero);
            Assert.That(tooMuch!.Message, Does.Contain("Its share is 10000,"));
            Assert.That((lastPage.Total, lastPage.Items.Count), Is.EqualTo(((long)Many, 100)));
            Assert.That(await LockTable.CountLeftAsync(server.ConnectionString), Is.Zero);
        }
    }

    private static async Task UseAsync(Task<JobLockHandle> acquiring) => (await acquiring).Dispose();

    private static IEnumerable<string> Names(string prefix, int count) => Enumerable.Range(0, count).Select(number => string.Create(CultureInfo.InvariantCulture, $"{prefix}-{number}"));

    private async Task<JobLockHandle?> TryTakeAsync(string name, int limit, CancellationToken stop)
    {
        var taken = await ((ILockBackend)_locks).TryAcquireAllAsync([new(name, LockKey.Of(name), LockMode.Exclusive, limit)], new() { Run = "a run of a test" }, null, blocks: false, stop);
        return taken.Refused is null ? taken.Handles[0] : null;
    }
}
