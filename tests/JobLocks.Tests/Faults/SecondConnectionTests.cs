using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Faults;

/// <summary>
/// The second connection, which proves that locks exclude each other, cannot be opened. A limit that can never be met is named with its cure. A limit that other
/// connections use up is tried again. Neither is reported as locks that do not exclude.
/// </summary>
[TestFixture, CancelAfter(60_000)]
public sealed class SecondConnectionTests
{
    private readonly string _role = $"joblocks_{Guid.NewGuid():N}";
    private string _database = "";

    private string AsRole => new NpgsqlConnectionStringBuilder(_database) { Username = _role, Password = "secret" }.ConnectionString;

    private string Quoted => new NpgsqlCommandBuilder().QuoteIdentifier(new NpgsqlConnectionStringBuilder(_database).Database!);

    [SetUp]
    public async Task CreateRole()
    {
        _database = await AssemblySetup.Server.CreateDatabaseAsync("second");
        await LockTable.AskAsync(_database, $"CREATE ROLE {_role} LOGIN PASSWORD 'secret'; GRANT ALL ON DATABASE {Quoted} TO {_role}");
    }

    [TearDown]
    public Task DropRole() => LockTable.AskAsync(_database, $"DROP OWNED BY {_role}; DROP ROLE {_role}");

    [Test]
    public async Task Names_a_role_that_can_have_one_connection_and_works_once_it_can_have_more(CancellationToken stop)
    {
        await LockTable.AskAsync(_database, $"ALTER ROLE {_role} CONNECTION LIMIT 1");
        await using var locks = AdvisoryLocks.Connect(AsRole);

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("limited", stop));
        await LockTable.AskAsync(_database, $"ALTER ROLE {_role} CONNECTION LIMIT 2");
        await using var handle = await locks.TryAcquireOnceBackAsync("limited", stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.Message, Does.Contain($"the role {_role} can have only 1 connection").And.Contain($"ALTER ROLE \"{_role}\" CONNECTION LIMIT -1"));
            Assert.That(error.NeedsChange, Is.True);
            Assert.That(handle, Is.Not.Null);
        }
    }

    [Test]
    public async Task Names_a_database_that_can_have_one_connection(CancellationToken stop)
    {
        await LockTable.AskAsync(AssemblySetup.Server.ConnectionString, $"ALTER DATABASE {Quoted} CONNECTION LIMIT 1");
        // The connections of the tests count for the limit too.
        NpgsqlConnection.ClearAllPools();
        await using var locks = AdvisoryLocks.Connect(AsRole);

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("limited", stop));
        while (error!.Message.Contains("53300", StringComparison.Ordinal)) error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("limited", stop));

        Assert.That(error.Message, Does.Contain("can have only 1 connection").And.Contain($"ALTER DATABASE {Quoted} CONNECTION LIMIT -1"));
    }

    [Test]
    public async Task Tries_again_where_others_use_the_connections_of_the_role(CancellationToken stop)
    {
        await LockTable.AskAsync(_database, $"ALTER ROLE {_role} CONNECTION LIMIT 2");
        await using var other = await Raw.OpenAsync(AsRole, stop);
        await using var locks = AdvisoryLocks.Connect(AsRole);

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("limited", stop));
        await other.DisposeAsync();
        await using var handle = await locks.TryAcquireOnceBackAsync("limited", stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.Message, Does.Contain("53300").And.Contain("a second one for a moment").And.Not.Contain("exclude"));
            Assert.That(error.NeedsChange, Is.False);
            Assert.That(handle, Is.Not.Null);
        }
    }

    [Test]
    public async Task Tries_again_where_a_pooler_has_no_second_connection(CancellationToken stop)
    {
        if (!PgBouncer.IsInstalled) Assert.Ignore(PgBouncer.WhyMissing);
        await using var bouncer = await PgBouncer.StartAsync(_database, PoolMode.Session, defaultPoolSize: 1, stop);
        await using var locks = AdvisoryLocks.Connect(bouncer.ConnectionString, static options => options.OpeningSilenceTimeout = TimeSpan.FromSeconds(1));

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("full pooler", stop));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.Message, Does.Contain("did not answer for 1 s").And.Not.Contain("exclude"));
            Assert.That(error.NeedsChange, Is.False);
            Assert.That(await LockTable.CountLeftAsync(_database), Is.Zero);
        }
    }
}
