using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Postgres;

/// <summary>A connection string that names several servers, of which one is the primary. Has servers of its own.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class HostsTests
{
    [Test]
    public async Task Finds_the_primary_among_several_servers_and_follows_it_when_another_one_is_promoted(CancellationToken stop)
    {
        await using var standby = await PostgresServer.StartOwnAsync(stop);
        await using var primary = await PostgresServer.StartOwnAsync(stop);
        await BecomeStandbyAsync(standby, stop);
        await using var locks = AdvisoryLocks.Connect(Both(standby, primary));

        var held = (await locks.TryAcquireAsync("several", stop))!;
        var isOnPrimary = await Sessions.IsHeldAsync(primary.ConnectionString, "several");
        var told = held.WhenLost();
        await primary.StopAsync(immediate: true, stop);
        await LockTable.AskAsync(standby.ConnectionString, "SELECT pg_promote()");
        await told.WaitAsync(stop);
        await held.DisposeAsync();
        await using var again = await locks.TryAcquireOnceBackAsync("several", stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(isOnPrimary, Is.True);
            Assert.That(again, Is.Not.Null);
            Assert.That(await Sessions.IsHeldAsync(standby.ConnectionString, "several"), Is.True);
        }
    }

    [Test]
    public async Task Waits_on_the_server_that_holds_the_lock_and_not_on_the_first_that_is_named(CancellationToken stop)
    {
        await using var standby = await PostgresServer.StartOwnAsync(stop);
        await using var primary = await PostgresServer.StartOwnAsync(stop);
        await BecomeStandbyAsync(standby, stop);
        await using var first = AdvisoryLocks.Connect(Both(standby, primary));
        await using var second = AdvisoryLocks.Connect(Both(standby, primary));
        var held = (await first.TryAcquireAsync("several", stop))!;

        var waiting = second.AcquireAsync("several", Timeout.InfiniteTimeSpan, stop);
        await Markers.WhenShownAsync(primary.ConnectionString, Markers.Waiting, stop);
        await held.DisposeAsync();

        await using var next = await waiting;
        Assert.That(await Sessions.IsHeldAsync(primary.ConnectionString, "several"), Is.True);
    }

    /// <summary>A server that finds this file follows another one, though nobody names one here.</summary>
    private static async Task BecomeStandbyAsync(PostgresServer server, CancellationToken stop)
    {
        var data = await LockTable.AskAsync(server.ConnectionString, "SHOW data_directory");
        await LockTable.AskAsync(server.ConnectionString, $"COPY (SELECT '') TO '{data}/standby.signal'");
        await server.RestartAsync(stop: stop);
    }

    private static string Both(PostgresServer first, PostgresServer second) =>
        new NpgsqlConnectionStringBuilder(first.ConnectionString) { Host = $"{Address(first)},{Address(second)}" }.ConnectionString;

    private static string Address(PostgresServer server)
    {
        var settings = new NpgsqlConnectionStringBuilder(server.ConnectionString);
        return $"{settings.Host}:{settings.Port}";
    }
}
