using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Faults;

/// <summary>The primary is lost, and its standby is promoted. Has servers of its own, with streaming replication.</summary>
[TestFixture, CancelAfter(120_000), Platform(Exclude = "Win", Reason = "A standby is copied by a Unix shell.")]
public sealed class FailOverTests
{
    private PostgresServer _primary = null!;
    private PostgresServer _standby = null!;

    private string Both => new NpgsqlConnectionStringBuilder(_primary.ConnectionString) { Host = $"{AddressOf(_primary)},{AddressOf(_standby)}" }.ConnectionString;

    [SetUp]
    public async Task StartServers()
    {
        _primary = await PostgresServer.StartOwnAsync();
        _standby = await PostgresServer.StartOwnAsync();
        await _standby.FollowAsync(_primary);
    }

    [TearDown]
    public async Task StopServers()
    {
        await _standby.DisposeAsync();
        await _primary.DisposeAsync();
    }

    [Test]
    public async Task Grants_greater_tokens_after_a_standby_was_promoted_that_lacked_the_last_ones(CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(Both, static options => options.HeartbeatInterval = TimeSpan.FromMilliseconds(100));
        var first = await DrawTokenAsync(locks, stop);
        await _standby.WhenCaughtUpAsync(_primary, stop);
        await _standby.ReplicateFromAsync(null, stop);
        // The server writes the state of a sequence ahead, for 32 numbers.
        var last = first;
        for (var i = 0; i < 100; i++) last = await DrawTokenAsync(locks, stop);
        var replicated = (long)(await LockTable.AskAsync(_standby.ConnectionString, "SELECT last_value FROM joblocks.fence"))!;

        await _primary.StopAsync(immediate: true, stop);
        await _standby.PromoteAsync(stop);
        var next = await DrawTokenAsync(locks, stop);

        Assert.That(replicated, Is.LessThan(last), "the standby lacks numbers");
        Assert.That(next, Is.GreaterThan(last));
    }

    [Test]
    public async Task Grants_greater_tokens_to_a_process_that_was_never_on_the_previous_primary(CancellationToken stop)
    {
        long last;
        await using (var locks = AdvisoryLocks.Connect(_primary.ConnectionString)) last = await DrawTokenAsync(locks, stop);
        await _standby.WhenCaughtUpAsync(_primary, stop);
        await _standby.ReplicateFromAsync(null, stop);
        await using (var locks = AdvisoryLocks.Connect(_primary.ConnectionString))
        {
            for (var i = 0; i < 100; i++) last = await DrawTokenAsync(locks, stop);
        }

        // The previous primary is cut off and lives on: its last holders have the smaller tokens.
        await _standby.PromoteAsync(stop);
        await using var others = AdvisoryLocks.Connect(_standby.ConnectionString);
        var next = await DrawTokenAsync(others, stop);
        var again = await DrawTokenAsync(others, stop);

        Assert.That(next, Is.GreaterThan(last));
        Assert.That(again, Is.EqualTo(next + 1), "advanced once for a timeline");
    }

    [TestCase("joblocks_worker", true), TestCase("drawer", false)]
    public async Task Advances_the_tokens_if_the_role_may_and_warns_otherwise(string rights, bool mayAdvance, CancellationToken stop)
    {
        await using (var owner = AdvisoryLocks.Connect(_primary.ConnectionString)) await DrawTokenAsync(owner, stop);
        await LockTable.AskAsync(_primary.ConnectionString, DocsTests.Read("grants.sql"));
        await LockTable.AskAsync(
            _primary.ConnectionString,
            "CREATE ROLE drawer; GRANT USAGE ON SCHEMA joblocks TO drawer; GRANT USAGE ON SEQUENCE joblocks.fence TO drawer; GRANT SELECT ON joblocks.servers TO drawer");
        await LockTable.AskAsync(_primary.ConnectionString, $"CREATE ROLE app LOGIN IN ROLE {rights}");
        var before = (long)(await LockTable.AskAsync(_primary.ConnectionString, "SELECT last_value FROM joblocks.fence"))!;
        await _standby.WhenCaughtUpAsync(_primary, stop);
        await _primary.StopAsync(immediate: true, stop);
        await _standby.PromoteAsync(stop);

        using var log = new LogLines();
        await using var locks = AdvisoryLocks.Connect(new NpgsqlConnectionStringBuilder(_standby.ConnectionString) { Username = "app" }.ConnectionString, loggers: log);
        var token = await DrawTokenAsync(locks, stop);

        Assert.That(token, mayAdvance ? Is.GreaterThan(before + (1L << 36)) : Is.LessThan(before + 100));
        Assert.That(log.Text, Does.Contain(mayAdvance ? "is on another server or timeline than before" : "After a fail-over, fencing tokens can repeat: this role may not advance them"));
    }

    private static async Task<long> DrawTokenAsync(IJobLocks locks, CancellationToken stop)
    {
        await using var handle = await locks.TryAcquireOnceBackAsync("fail-over", stop);
        return handle!.FencingToken;
    }

    private static string AddressOf(PostgresServer server)
    {
        var settings = new NpgsqlConnectionStringBuilder(server.ConnectionString);
        return $"{settings.Host}:{settings.Port}";
    }
}
