using JobLocks.Gate;
using JobLocks.Naming;
using JobLocks.Rules;
using JobLocks.Tests.Support;
using JobLocks.WaitQueue;
using Npgsql;

namespace JobLocks.Tests.Postgres;

/// <summary>The roles of docs/grants.sql: each can do what it is for, and nothing else.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class GrantsTests
{
    private const string Roles = "worker, viewer, operator";

    private static readonly TimeSpan AtMost = TimeSpan.FromSeconds(30);

    // A server knows roles for all of its databases, and other tests may run on it.
    private readonly string _prefix = $"joblocks_{Guid.NewGuid():N}";
    private string _database = "";
    private AdvisoryLocks _owner = null!;

    [SetUp]
    public async Task Grant()
    {
        _database = await AssemblySetup.Server.CreateDatabaseAsync("grants");
        _owner = AdvisoryLocks.Connect(_database);
        await _owner.EnsureSessionAsync(CancellationToken.None);
        await RevokeFromEverybodyAsync();
        // Twice, since it may be run again.
        foreach (var _ in Enumerable.Range(0, 2)) await RunAsync(DocsTests.Read("grants.sql").Replace("joblocks_", $"{_prefix}_", StringComparison.Ordinal));
        foreach (var role in Roles.Split(", ")) await RunAsync($"CREATE ROLE {Login(role)} LOGIN PASSWORD 'secret' IN ROLE {_prefix}_{role}");
    }

    [TearDown]
    public async Task Revoke()
    {
        await _owner.DisposeAsync();
        foreach (var role in Roles.Split(", ").SelectMany(role => new[] { Login(role), $"{_prefix}_{role}" })) await RunAsync($"DROP OWNED BY {role}; DROP ROLE {role}");
    }

    [Test]
    public async Task Let_a_worker_acquire_locks_wait_in_the_queue_and_record_holders(CancellationToken stop)
    {
        using var log = new LogLines();
        await using var locks = As("worker", log);
        var gate = JobGate.To(locks);
        var address = new RunAddress("Test store", "2", "");
        var held = (Admission.Admitted)await gate.TryEnterAsync(Calls.Call("granted"), stop);
        var waits = await gate.TryEnterAsync(Calls.Call("granted") with { Address = _ => address }, stop);
        var limited = (Admission.Admitted)await gate.TryEnterAsync(Calls.Call("limited") with { Rules = [Limited] }, stop);
        while (await LockTable.AskAsync(_database, "SELECT count(*) FROM joblocks.holders") is not 2L) stop.ThrowIfCancellationRequested();
        var token = held.First.FencingToken;
        held.Dispose();
        using var later = (Admission.Admitted)await gate.TryEnterAsync(Calls.Call("granted") with { Address = _ => address, MayHaveQueueEntry = true }, stop);
        limited.Dispose();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(waits, Is.TypeOf<Admission.Waits>());
            Assert.That(token, Is.Positive);
            Assert.That(locks.FirstLimitation, Is.Null);
            Assert.That(log.Text, Does.Not.Contain("Warning").And.Not.Contain("Error"));
        }
    }

    [Test]
    public async Task Let_a_viewer_see_everything_and_change_nothing(CancellationToken stop)
    {
        await using var held = (await _owner.TryAcquireAsync("seen", stop))!;
        await WrittenDownAsync(stop);
        await using var locks = As("viewer");

        var overview = await locks.Inspector.GetOverviewAsync(stop);
        var name = await locks.Inspector.GetNameAsync(held.Key, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(overview.Held, Is.EqualTo(1));
            Assert.That(name.Name, Is.EqualTo("seen"));
            Assert.That(name.Held.Single().Holder.ConnectedSince, Is.Null);
            Assert.That(await LockTable.AskAsync(_database, "SELECT count(*) FROM pg_roles WHERE rolname ~ '^pg_' AND pg_has_role($1, oid, 'MEMBER')", Login("operator")), Is.Zero);
            await Assert.ThatAsync(
                () => locks.Inspector.RequestReleaseAsync(held.Key, "a viewer", AtMost, stop),
                Throws.TypeOf<UnauthorizedAccessException>().With.Message.Contains("GRANT UPDATE (release_requested_by) ON joblocks.holders"));
            await Assert.ThatAsync(() => locks.Inspector.EndSessionAsync(name.Held.Single().Holder.Backend, "a viewer", stop), Throws.TypeOf<UnauthorizedAccessException>());
            foreach (var change in new[] { "DELETE FROM joblocks.wait_queue", "UPDATE joblocks.holders SET release_requested_by = 'x'", "DELETE FROM joblocks.names", "DELETE FROM joblocks.recent_runs", "DELETE FROM joblocks.samples", "SELECT nextval('joblocks.fence')", "INSERT INTO joblocks.declared_limits VALUES ('x', 1, 'x')" })
                Assert.That(async () => await RunAsync(change, "viewer"), Throws.TypeOf<PostgresException>().With.Property("SqlState").EqualTo(PostgresErrorCodes.InsufficientPrivilege), change);
            Assert.That(held.Lost.IsCancellationRequested, Is.False);
        }
    }

    [Test]
    public async Task Let_an_operator_request_releases_and_change_nothing_else(CancellationToken stop)
    {
        var held = (await _owner.TryAcquireAsync("asked for", stop))!;
        held.Lost.Register(held.Dispose);
        await WrittenDownAsync(stop);
        await using var locks = As("operator");

        var answer = await locks.Inspector.RequestReleaseAsync(held.Key, "an operator", AtMost, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(answer, Is.EqualTo(ReleaseAnswer.Released));
            Assert.That(held.LostReason, Does.Contain($"an operator (database role {Login("operator")})"));
            foreach (var change in new[] { "UPDATE joblocks.holders SET name = 'x'", "DELETE FROM joblocks.holders", "DELETE FROM joblocks.wait_queue" })
                Assert.That(async () => await RunAsync(change, "operator"), Throws.TypeOf<PostgresException>().With.Property("SqlState").EqualTo(PostgresErrorCodes.InsufficientPrivilege), change);
        }
    }

    [Test]
    public async Task Let_an_operator_write_any_name_but_not_another_role(CancellationToken stop)
    {
        using var log = new LogLines();
        await using var locks = As("worker", log);
        var held = (await locks.TryAcquireAsync("asked for by hand", stop))!;
        held.Lost.Register(held.Dispose);
        var lost = held.WhenLost();
        await WrittenDownAsync(stop);

        await RunAsync("UPDATE joblocks.holders SET release_requested_by = 'the boss'", "operator");
        await lost.WaitAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(held.LostReason, Does.Contain($"the boss (database role {Login("operator")}) asked for it"));
            Assert.That(log.Text, Does.Contain($"the boss (database role {Login("operator")}) requested the release of the lock"));
            Assert.That(async () => await RunAsync("UPDATE joblocks.holders SET release_requested_role = 'boss'", "operator"), Throws.TypeOf<PostgresException>().With.Property("SqlState").EqualTo(PostgresErrorCodes.InsufficientPrivilege));
        }
    }

    private static LockRule Limited => LockRule.For(new("limited", OnConflict.Skip, 15) { Limit = 3 }, JobSignature.Of(typeof(ClientSync)));

    private string Login(string role) => $"{_prefix}_{role}_login";

    private AdvisoryLocks As(string role, LogLines? log = null) => AdvisoryLocks.Connect(ConnectionOf(role), static options => options.PrepareSchema = false, log);

    private string ConnectionOf(string role) =>
        new NpgsqlConnectionStringBuilder(_database) { Username = Login(role), Password = "secret" }.ConnectionString;

    /// <summary>What every role has in a new database, so that only the script's own grants count.</summary>
    private Task RevokeFromEverybodyAsync() =>
        RunAsync($"REVOKE ALL ON DATABASE {new NpgsqlCommandBuilder().QuoteIdentifier(new NpgsqlConnectionStringBuilder(_database).Database!)} FROM PUBLIC");

    private async Task RunAsync(string sql, string? role = null)
    {
        await using var connection = new NpgsqlConnection((role is null ? _database : ConnectionOf(role)) + ";Pooling=false");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }

    private async Task WrittenDownAsync(CancellationToken stop)
    {
        while (await LockTable.AskAsync(_database, "SELECT count(*) FROM joblocks.holders") is 0L) stop.ThrowIfCancellationRequested();
    }
}
