using System.Diagnostics;
using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Faults;

/// <summary>A holder that stands still for longer than the server waits for it, as in a virtual machine that is moved, and then goes on.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class FrozenTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan LongestTelling = TimeSpan.FromSeconds(2);

    private string _database = "";

    [OneTimeSetUp]
    public async Task CreateDatabase()
    {
        if (!FrozenProcess.IsSupported) Assert.Ignore("Windows cannot stop a process.");
        _database = await AssemblySetup.Server.CreateDatabaseAsync("frozen");
        await LockTable.AskAsync(_database, "CREATE TABLE written (id int PRIMARY KEY, by text, fence bigint)");
        await LockTable.AskAsync(_database, "INSERT INTO written VALUES (1, 'nobody', 0)");
    }

    [TearDown]
    public async Task Leaves_no_lock_behind() => Assert.That(await LockTable.CountLeftAsync(_database), Is.Zero);

    [Test]
    public async Task Says_that_the_lock_is_lost_as_soon_as_it_goes_on_and_its_late_write_is_refused(CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(_database);
        using var other = OtherProcess.Watch(_database, "frozen", "LostAfter=00:00:02", "HeartbeatInterval=00:00:00.5");
        await other.SaysWhenAsync(WatchedLock.Granted, stop);
        var oldToken = await other.SaysTokenAsync(stop);
        var wroteInTime = await WriteAsync("the frozen one", oldToken);

        var frozen = FrozenProcess.Freeze(other.Id);
        await using var successor = await locks.AcquireAsync("frozen", Patience, stop);
        var freed = Stopwatch.GetTimestamp();
        var wroteNext = await WriteAsync("the next one", successor.FencingToken);
        var thawed = frozen.Thaw();
        var lost = await other.SaysWhenAsync(WatchedLock.Lost, stop);
        var wroteLate = await WriteAsync("the frozen one", oldToken);

        TestContext.Out.WriteLine(
            $"Freed {Stopwatch.GetElapsedTime(frozen.FrozenTimestamp, freed).TotalMilliseconds:0} ms after it froze, told {Stopwatch.GetElapsedTime(thawed, lost).TotalMilliseconds:0.0} ms after it went on");
        using (Assert.EnterMultipleScope())
        {
            Assert.That(Stopwatch.GetElapsedTime(thawed, lost), Is.InRange(TimeSpan.Zero, LongestTelling));
            Assert.That(successor.FencingToken, Is.GreaterThan(oldToken));
            Assert.That(successor.Lost.IsCancellationRequested, Is.False);
            Assert.That(wroteInTime, Is.True);
            Assert.That(wroteNext, Is.True);
            Assert.That(wroteLate, Is.False);
            Assert.That(await LockTable.AskAsync(_database, "SELECT by FROM written"), Is.EqualTo("the next one"));
        }

        await other.TellAsync(WatchedLock.Exit);
        await other.EndAsync(stop);
    }

    [Test]
    public async Task Keeps_the_lock_through_a_standstill_that_the_server_waits_for(CancellationToken stop)
    {
        using var other = OtherProcess.Watch(_database, "paused", "LostAfter=00:00:20", "HeartbeatInterval=00:00:00.5");
        await other.SaysWhenAsync(WatchedLock.Granted, stop);
        await using var server = await Raw.OpenAsync(_database, stop);

        using (FrozenProcess.Freeze(other.Id)) await server.AskAsync("SELECT pg_sleep(3)", stop);
        await other.TellAsync(WatchedLock.Release);

        // Had it been lost, it would have said so before.
        await other.SaysWhenAsync(WatchedLock.Released, stop);
        await other.TellAsync(WatchedLock.Exit);
        await other.EndAsync(stop);
    }

    /// <summary>The write that a table allows only to the latest holder of the lock.</summary>
    /// <returns>Whether it did.</returns>
    private async Task<bool> WriteAsync(string by, long token) =>
        await LockTable.AskAsync(_database, "UPDATE written SET by = $1, fence = $2 WHERE id = 1 AND fence <= $2 RETURNING id", by, token) is not null;
}
