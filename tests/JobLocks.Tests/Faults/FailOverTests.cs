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
        Assert.That(log.Text, Does.Contain(mayAdvance ? "has not been on this server and timeline before" : "After a fail-over, fencing tokens can repeat: this role may not advance them"));
    }

    [Test]
    public async Task Draws_no_token_while_it_cannot_be_noted_that_the_server_is_new(CancellationToken stop)
    {
        long last;
        await using (var owner = AdvisoryLocks.Connect(_primary.ConnectionString)) last = await DrawTokenAsync(owner, stop);
        await _standby.WhenCaughtUpAsync(_primary, stop);
        await _primary.StopAsync(immediate: true, stop);
        await _standby.PromoteAsync(stop);
        await using var admin = await Raw.OpenAsync(_standby.ConnectionString, stop);
        var transaction = await admin.BeginTransactionAsync(stop);
        await admin.AskAsync("LOCK TABLE joblocks.servers IN ACCESS EXCLUSIVE MODE", stop);

        using var log = new LogLines();
        await using var locks = AdvisoryLocks.Connect(_standby.ConnectionString, loggers: log);
        var granted = await locks.TryAcquireOnceBackAsync("fail-over", stop);
        await log.WhenSaidAsync("Handles have no fencing tokens for now", stop);
        Assert.That(granted, Is.Not.Null);
        Assert.That(() => granted!.FencingToken, Throws.InvalidOperationException);
        await granted!.DisposeAsync();

        await transaction.DisposeAsync();
        Assert.That(await WhenTokenIsDrawnAsync(locks, stop), Is.GreaterThan(last + (1L << 36)));
    }

    [Test]
    public async Task Advances_the_tokens_before_a_role_draws_that_was_given_the_right_later(CancellationToken stop)
    {
        await using (var owner = AdvisoryLocks.Connect(_primary.ConnectionString)) await DrawTokenAsync(owner, stop);
        await LockTable.AskAsync(_primary.ConnectionString, DocsTests.Read("grants.sql"));
        await LockTable.AskAsync(_primary.ConnectionString, "CREATE ROLE app LOGIN");
        var before = (long)(await LockTable.AskAsync(_primary.ConnectionString, "SELECT last_value FROM joblocks.fence"))!;
        await _standby.WhenCaughtUpAsync(_primary, stop);
        await _primary.StopAsync(immediate: true, stop);
        await _standby.PromoteAsync(stop);

        await using var locks = AdvisoryLocks.Connect(new NpgsqlConnectionStringBuilder(_standby.ConnectionString) { Username = "app" }.ConnectionString);
        await using (var granted = await locks.TryAcquireOnceBackAsync("fail-over", stop)) Assert.That(() => granted!.FencingToken, Throws.InvalidOperationException);
        await LockTable.AskAsync(_standby.ConnectionString, "GRANT joblocks_worker TO app");

        Assert.That(await WhenTokenIsDrawnAsync(locks, stop), Is.GreaterThan(before + (1L << 36)));
    }

    [Test]
    public async Task Draws_greater_tokens_from_a_sequence_that_was_created_again_after_a_fail_over(CancellationToken stop)
    {
        await using (var owner = AdvisoryLocks.Connect(_primary.ConnectionString)) await DrawTokenAsync(owner, stop);
        await _standby.WhenCaughtUpAsync(_primary, stop);
        await _primary.StopAsync(immediate: true, stop);
        await _standby.PromoteAsync(stop);
        long last;
        await using (var locks = AdvisoryLocks.Connect(_standby.ConnectionString)) last = await DrawTokenAsync(locks, stop);

        await LockTable.AskAsync(_standby.ConnectionString, "DROP SEQUENCE joblocks.fence");
        await LockTable.AskAsync(_standby.ConnectionString, DocsTests.Read("schema.sql"));
        await using var others = AdvisoryLocks.Connect(_standby.ConnectionString);

        Assert.That(await DrawTokenAsync(others, stop), Is.GreaterThan(last));
    }

    /// <summary>The first token once the locks have tokens: they look for that every few seconds.</summary>
    private static async Task<long> WhenTokenIsDrawnAsync(IJobLocks locks, CancellationToken stop)
    {
        while (true)
        {
            await using var handle = await locks.TryAcquireOnceBackAsync("fail-over", stop);
            try
            {
                return handle!.FencingToken;
            }
            catch (InvalidOperationException)
            {
                await Task.Delay(DatabaseState.LookAgainAfter, stop);
            }
        }
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
