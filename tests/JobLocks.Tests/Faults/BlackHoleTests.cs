using System.Diagnostics;
using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Faults;

/// <summary>A network that swallows what is sent: neither end sees the other one go. The holder must know before the server gives the lock away.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class BlackHoleTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan LostAfter = TimeSpan.FromSeconds(3);

    private string _database = "";
    private FaultyNetwork _network = null!;
    private AdvisoryLocks _locks = null!;

    [OneTimeSetUp]
    public async Task CreateDatabase() => _database = await AssemblySetup.Server.CreateDatabaseAsync("black_hole");

    [SetUp]
    public async Task Connect()
    {
        _network = await FaultyNetwork.StartAsync(_database);
        _locks = AdvisoryLocks.Connect(_network.ConnectionString, static options =>
        {
            options.LostAfter = LostAfter;
            options.HeartbeatInterval = TimeSpan.FromSeconds(0.5);
        });
    }

    [TearDown]
    public async Task Leaves_no_lock_behind()
    {
        await _locks.DisposeAsync();
        await _network.DisposeAsync();

        Assert.That(await LockTable.CountLeftAsync(_database), Is.Zero);
    }

    [TestCase("both ways"), TestCase("to the server"), TestCase("to the client")]
    public async Task Tells_the_holder_before_the_server_frees_the_lock_and_goes_on_after_it(string direction, CancellationToken stop)
    {
        var held = await _locks.TryAcquireAsync("hole", stop);
        var lost = held!.WhenLost();

        Fault(direction);
        var free = Sessions.WhenFreeAsync(_database, "hole", stop);
        var told = await lost.WaitAsync(Patience, stop);
        var freed = await free.WaitAsync(Patience, stop);
        TestContext.Out.WriteLine(
            $"{direction}: told {Milliseconds(_network.FaultTimestamp, told)}, freed {Milliseconds(_network.FaultTimestamp, freed)}, margin {Milliseconds(told, freed)} ms");

        await held!.DisposeAsync();
        _network.Heal();
        await using var again = await _locks.TryAcquireOnceBackAsync("hole", stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(told, Is.LessThanOrEqualTo(freed));
            Assert.That(Stopwatch.GetElapsedTime(told, freed), Is.GreaterThan(LostAfter / 12), "half of the last sixth, for the run to stop in");
            Assert.That(again?.Lost.IsCancellationRequested, Is.False);
        }
    }

    [Test]
    public async Task Answers_those_who_look_and_looks_again_after_it(CancellationToken stop)
    {
        // A reading that never ended would keep its connection, and there are two.
        await using var locks = AdvisoryLocks.Connect($"{_network.ConnectionString};Command Timeout=0");
        await using var held = await _locks.TryAcquireAsync("hole", stop);
        await locks.Inspector.GetOverviewAsync(stop);

        _network.BlackHole();
        var looks = Enumerable.Range(0, 3).Select(_ => GetStatesAsync(locks, stop)).ToList();
        var answers = await Task.WhenAll(looks).WaitAsync(Patience, stop);
        _network.Heal();

        Assert.That(answers, Is.All.False);
        while (!await GetStatesAsync(locks, stop)) await Task.Delay(100, stop);
    }

    [TestCase(false), TestCase(true)]
    public async Task Refuses_a_caller_who_asks_just_as_the_hole_opens(bool blocks, CancellationToken stop)
    {
        // Connecting is tried for up to ten seconds, as the connection string has it; the rest is slack.
        // Until the loss is told, and once as long as connecting is tried; generous, since the machine may be busy.
        var longest = LostAfter + TimeSpan.FromSeconds(40);
        await using var held = await _locks.TryAcquireAsync("held", stop);
        var lost = held!.WhenLost();

        _network.BlackHole();
        var asked = Stopwatch.GetTimestamp();
        var call = Task.Factory.StartNew(
            () => blocks ? Task.FromResult(_locks.TryAcquire("asked", CancellationToken.None)) : _locks.TryAcquireAsync("asked", CancellationToken.None),
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default).Unwrap();
        var second = Task.Factory.StartNew(
            () => blocks ? _locks.TryAcquireAsync("asked too", CancellationToken.None) : Task.FromResult(_locks.TryAcquire("asked too", CancellationToken.None)),
            CancellationToken.None,
            TaskCreationOptions.LongRunning,
            TaskScheduler.Default).Unwrap();

        foreach (var caller in (Task<JobLockHandle?>[])[call, second])
            await Assert.ThatAsync(() => caller.WaitAsync(Patience, stop), Throws.TypeOf<JobLocksUnavailableException>());

        var refused = Stopwatch.GetElapsedTime(asked);
        TestContext.Out.WriteLine($"Told {Milliseconds(asked, await lost)} ms, callers refused {refused.TotalMilliseconds:0} ms after the hole opened");
        _network.Heal();
        await using var again = await _locks.TryAcquireOnceBackAsync("asked", stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(refused, Is.LessThan(longest));
            Assert.That(again, Is.Not.Null);
        }
    }

    private static string Milliseconds(long from, long to) => $"{(to - from) * 1000.0 / Stopwatch.Frequency:0.0}";

    private static async Task<bool> GetStatesAsync(AdvisoryLocks locks, CancellationToken stop)
    {
        try
        {
            await locks.Inspector.GetOverviewAsync(stop);
            return true;
        }
        catch (JobLocksUnavailableException)
        {
            return false;
        }
    }

    private void Fault(string direction)
    {
        switch (direction)
        {
            case "to the server":
                _network.DropToServer();
                break;
            case "to the client":
                _network.DropToClient();
                break;
            default:
                _network.BlackHole();
                break;
        }
    }
}
