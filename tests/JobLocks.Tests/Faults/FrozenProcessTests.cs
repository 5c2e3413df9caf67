using System.Diagnostics;
using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Faults;

/// <summary>That a process stands still as other tests rely on it.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class FrozenProcessTests
{
    private string _database = "";

    [OneTimeSetUp]
    public async Task CreateDatabase()
    {
        if (!FrozenProcess.IsSupported) Assert.Ignore("Windows cannot stop a process.");
        _database = await AssemblySetup.Server.CreateDatabaseAsync("frozen_process");
    }

    [Test]
    public async Task Does_nothing_until_it_is_thawed_and_then_what_it_was_told(CancellationToken stop)
    {
        using var other = OtherProcess.Watch(_database, "frozen");
        var granted = await other.SaysWhenAsync(WatchedLock.Granted, stop);

        var frozen = FrozenProcess.Freeze(other.Id);
        await other.TellAsync(WatchedLock.Release);
        var released = other.SaysWhenAsync(WatchedLock.Released, stop);
        Assert.That(await LockTable.CountAsync(_database), Is.EqualTo(1), "its connection stays");
        var thawed = frozen.Thaw();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(granted, Is.LessThan(frozen.FrozenTimestamp));
            Assert.That(await released, Is.GreaterThan(thawed));
        }
    }

    [Test]
    public async Task Tells_when_its_lock_was_lost_and_ends_when_told(CancellationToken stop)
    {
        using var other = OtherProcess.Watch(_database, "lost", "HeartbeatInterval=00:00:00.1");
        var granted = await other.SaysWhenAsync(WatchedLock.Granted, stop);
        var ended = Stopwatch.GetTimestamp();
        await LockTable.AskAsync(_database, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()");

        var lost = await other.SaysWhenAsync(WatchedLock.Lost, stop);
        await other.TellAsync(WatchedLock.Exit);
        await other.EndAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(ended, Is.GreaterThan(granted));
            Assert.That(lost, Is.InRange(ended, Stopwatch.GetTimestamp()));
        }
    }

    [Test]
    public async Task Stops_a_session_of_the_server_too(CancellationToken stop)
    {
        if (!AssemblySetup.Server.CanRestart) Assert.Ignore("The server is not ours, or not even on this machine.");

        await using var connection = await Raw.OpenAsync(_database, stop);
        var session = (int)(await connection.AskAsync("SELECT pg_backend_pid()", stop))!;
        Task<object?> answer;

        using (FrozenProcess.Freeze(session))
        {
            answer = connection.AskAsync("SELECT 1", stop);
            await (await Raw.OpenAsync(_database, stop)).DisposeAsync();
            Assert.That(answer.IsCompleted, Is.False);
        }

        Assert.That(await answer, Is.EqualTo(1));
    }
}
