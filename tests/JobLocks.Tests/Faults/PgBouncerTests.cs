using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Faults;

/// <summary>That PgBouncer is there as other tests rely on it.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class PgBouncerTests
{
    private const string Me = "SELECT pg_backend_pid()";

    private string _database = "";

    [OneTimeSetUp]
    public async Task CreateDatabase()
    {
        if (!PgBouncer.IsInstalled) Assert.Ignore(PgBouncer.WhyMissing);
        _database = await AssemblySetup.Server.CreateDatabaseAsync("pgbouncer");
    }

    [Test]
    public async Task Changes_the_backend_of_a_client_in_transaction_mode(CancellationToken stop)
    {
        await using var bouncer = await PgBouncer.StartAsync(_database, PoolMode.Transaction, stop: stop);
        await using var client = await Raw.OpenAsync(bouncer.ConnectionString, stop);
        await using var other = await Raw.OpenAsync(bouncer.ConnectionString, stop);
        var first = await client.AskAsync(Me, stop);

        await using var transaction = await other.BeginTransactionAsync(stop);
        var taken = await other.AskAsync(Me, stop);
        var second = await client.AskAsync(Me, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(taken, Is.EqualTo(first));
            Assert.That(second, Is.Not.EqualTo(first));
        }
    }

    [Test]
    public async Task Keeps_the_backend_of_a_client_in_session_mode(CancellationToken stop)
    {
        await using var bouncer = await PgBouncer.StartAsync(_database, PoolMode.Session, stop: stop);
        await using var client = await Raw.OpenAsync(bouncer.ConnectionString, stop);
        await using var other = await Raw.OpenAsync(bouncer.ConnectionString, stop);
        var first = await client.AskAsync(Me, stop);

        await using var transaction = await other.BeginTransactionAsync(stop);
        var others = await other.AskAsync(Me, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(others, Is.Not.EqualTo(first));
            Assert.That(await client.AskAsync(Me, stop), Is.EqualTo(first));
        }
    }

    [Test]
    public async Task Refuses_transactions_in_statement_mode(CancellationToken stop)
    {
        await using var bouncer = await PgBouncer.StartAsync(_database, PoolMode.Statement, stop: stop);
        await using var client = await Raw.OpenAsync(bouncer.ConnectionString, stop);
        Assert.That(await client.AskAsync("SELECT 1", stop), Is.EqualTo(1));

        await Assert.ThatAsync(() => client.AskAsync("BEGIN", stop), Throws.InstanceOf<NpgsqlException>());
    }

    [Test]
    public async Task Opens_no_more_sessions_than_its_pool_may_have(CancellationToken stop)
    {
        await using var bouncer = await PgBouncer.StartAsync(_database, PoolMode.Transaction, defaultPoolSize: 1, stop);
        await using var client = await Raw.OpenAsync(bouncer.ConnectionString, stop);
        await using var other = await Raw.OpenAsync(bouncer.ConnectionString, stop);
        var transaction = await client.BeginTransactionAsync(stop);
        var first = await client.AskAsync(Me, stop);

        var waits = other.AskAsync(Me, stop);
        await client.AskAsync(Me, stop);
        Assert.That(waits.IsCompleted, Is.False);
        await transaction.DisposeAsync();

        Assert.That(await waits, Is.EqualTo(first));
    }

    [Test]
    public async Task Leaves_nothing_behind(CancellationToken stop)
    {
        var bouncer = await PgBouncer.StartAsync(_database, PoolMode.Session, stop: stop);
        await using (var client = await Raw.OpenAsync(bouncer.ConnectionString, stop)) await client.AskAsync(Me, stop);

        await bouncer.DisposeAsync();

        Assert.That(() => Raw.OpenAsync(bouncer.ConnectionString, stop), Throws.InstanceOf<NpgsqlException>());
        while (await LockTable.AskAsync(_database, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()") is > 0L) await Task.Delay(DatabaseState.LookAgainAfter, stop);
    }
}
