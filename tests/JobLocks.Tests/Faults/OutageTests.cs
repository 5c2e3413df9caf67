using System.Diagnostics;
using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Faults;

/// <summary>A server that is away for a while. Has a server of its own to take away.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class OutageTests
{
    private const int Callers = 50;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    // One after the other, they would wait for a hundred seconds.
    private static readonly TimeSpan AtOnce = TimeSpan.FromSeconds(20);

    private readonly string _me = Sessions.NewName("outage");
    private PostgresServer _server = null!;

    [OneTimeSetUp]
    public async Task StartServer() => _server = await PostgresServer.StartOwnAsync();

    [OneTimeTearDown]
    public async Task StopServer() => await _server.DisposeAsync();

    [TearDown]
    public async Task Leaves_no_lock_behind() => Assert.That(await LockTable.CountLeftAsync(_server.ConnectionString), Is.Zero);

    [Test]
    public async Task Refuses_all_callers_at_once_while_the_server_is_away_and_goes_on_by_itself_after_it(CancellationToken stop)
    {
        await using var locks = Locks(_server.ConnectionString);
        await using var held = await locks.TryAcquireAsync("away", stop);
        var lost = held!.WhenLost();
        await _server.StopAsync(immediate: false, stop);
        await lost.WaitAsync(Patience, stop);

        var refused = await RefuseAllAsync(locks, stop);
        TestContext.Out.WriteLine($"{Callers} callers refused in {refused.TotalMilliseconds:0} ms");

        await _server.StartAgainAsync(stop);
        var back = Stopwatch.GetTimestamp();
        // Nobody asks for a lock meanwhile.
        await Sessions.WhenOpenAsync(_server.ConnectionString, _me, stop);
        TestContext.Out.WriteLine($"Session open {Stopwatch.GetElapsedTime(back).TotalMilliseconds:0} ms after the server was back");
        await using var again = await locks.TryAcquireOnceBackAsync("another", stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(refused, Is.LessThan(AtOnce));
            Assert.That(again, Is.Not.Null);
            Assert.That(held!.Lost.IsCancellationRequested, Is.True, "a lost lock stays lost");
        }
    }

    [Test]
    public async Task Gives_up_a_server_that_lets_it_in_and_then_is_silent(CancellationToken stop)
    {
        var database = await _server.CreateDatabaseAsync("silent", stop);
        await using var other = await Raw.OpenAsync(database, stop);
        await using var transaction = await other.BeginTransactionAsync(stop);
        // What a session reads before it has set a limit to its waiting.
        await other.AskAsync("LOCK TABLE pg_catalog.pg_settings IN ACCESS EXCLUSIVE MODE", stop);
        await using var locks = AdvisoryLocks.Connect(database, static options => options.OpeningSilenceTimeout = TimeSpan.FromSeconds(1));

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("silent", stop));
        await transaction.RollbackAsync(stop);
        await using var handle = await locks.TryAcquireOnceBackAsync("silent", stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.InnerException, Is.TypeOf<TimeoutException>());
            Assert.That(error.NeedsChange, Is.False);
            Assert.That(handle, Is.Not.Null);
        }
    }

    [Test]
    public async Task Lets_no_caller_wait_behind_the_time_outs_of_others(CancellationToken stop)
    {
        await using var network = await FaultyNetwork.StartAsync(_server.ConnectionString);
        network.BlackHole();
        await using var locks = Locks(network.ConnectionString + ";Timeout=2");

        var first = await RefuseAllAsync(locks, stop);
        var later = new List<TimeSpan>();
        for (var round = 0; round < 5; round++) later.Add(await RefuseAllAsync(locks, stop));

        TestContext.Out.WriteLine($"The first {Callers} share a time-out of 2 s: {first.TotalMilliseconds:0} ms; the next ms: {string.Join(", ", later.Select(static time => $"{time.TotalMilliseconds:0}"))}");
        network.Heal();
        await using var handle = await locks.TryAcquireOnceBackAsync("healed", stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(first, Is.LessThan(TimeSpan.FromSeconds(2) + AtOnce));
            Assert.That(later, Is.All.LessThan(AtOnce));
            Assert.That(handle, Is.Not.Null);
        }
    }

    [Test]
    public async Task Wakes_callers_that_wait_for_a_lock_of_another_process(CancellationToken stop)
    {
        await using var locks = Locks(_server.ConnectionString);
        await using var others = AdvisoryLocks.Connect(_server.ConnectionString);
        await using var theirs = await others.TryAcquireAsync("waited", stop);
        var waiting = Enumerable.Range(0, 5).Select(_ => locks.AcquireAsync("waited", Timeout.InfiniteTimeSpan, CancellationToken.None)).ToList();
        var blocked = Task.Factory.StartNew(
            () => locks.Acquire("waited", Timeout.InfiniteTimeSpan, CancellationToken.None), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
        waiting.Add(blocked);
        await Sessions.WhenOpenAsync(_server.ConnectionString, _me, stop);
        Assert.That(await locks.TryAcquireAsync("waited", stop), Is.Null, "asked after those who wait");

        await _server.StopAsync(immediate: true, stop);
        var away = Stopwatch.GetTimestamp();
        foreach (var waiter in waiting) await Assert.ThatAsync(() => waiter.WaitAsync(Patience, stop), Throws.TypeOf<JobLocksUnavailableException>());

        TestContext.Out.WriteLine($"Waiters told {Stopwatch.GetElapsedTime(away).TotalMilliseconds:0} ms after the server was away");
        await _server.StartAgainAsync(stop);
        await theirs!.DisposeAsync();
        await using var handle = await AcquireOnceBackAsync(locks, "waited", stop);
        Assert.That(handle.Lost.IsCancellationRequested, Is.False);
    }

    /// <returns>How long it took until the last of them was refused.</returns>
    private static async Task<TimeSpan> RefuseAllAsync(AdvisoryLocks locks, CancellationToken stop)
    {
        var since = Stopwatch.GetTimestamp();
        var calls = Enumerable.Range(0, Callers).Select(caller => Task.Run(() => locks.TryAcquireAsync($"caller-{caller}", stop), stop)).ToList();
        foreach (var call in calls) await Assert.ThatAsync(() => call, Throws.TypeOf<JobLocksUnavailableException>());

        return Stopwatch.GetElapsedTime(since);
    }

    private static async Task<JobLockHandle> AcquireOnceBackAsync(AdvisoryLocks locks, string name, CancellationToken stop)
    {
        while (true)
        {
            try
            {
                return await locks.AcquireAsync(name, Patience, stop);
            }
            catch (JobLocksUnavailableException)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(20), stop);
            }
        }
    }

    private AdvisoryLocks Locks(string connectionString) => AdvisoryLocks.Connect(connectionString, options => options.ApplicationName = _me);
}
