using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Kinds;

/// <summary>The lock of a name in a transaction of the caller: the same lock, which ends with the transaction.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class TransactionLockTests : TwoInstances
{
    private NpgsqlConnection _connection = null!;

    [SetUp]
    public async Task Open() => _connection = await Raw.OpenAsync(Database, CancellationToken.None);

    [TearDown]
    public async Task Close() => await _connection.DisposeAsync();

    [Test]
    public async Task Excludes_the_same_name_everywhere_until_the_commit(CancellationToken stop)
    {
        await using var transaction = await _connection.BeginTransactionAsync(stop);
        var held = await Locks.TryAcquireAsync(Name, transaction, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(held!.Name, Is.EqualTo(Name));
            Assert.That(held.Key, Is.EqualTo(LockKey.Of(Name)));
            Assert.That(await Locks.TryAcquireAsync(Name, stop), Is.Null);
            Assert.That(await Others.TryAcquireAsync(Name, stop), Is.Null);
            Assert.That(await LockTable.AskAsync(Database, "SELECT pg_try_advisory_lock($1)", LockKey.Of(Name).Value), Is.False);
        }

        await transaction.CommitAsync(stop);
        await using var next = await Locks.TryAcquireAsync(Name, stop);
        Assert.That(next, Is.Not.Null);
    }

    [Test]
    public async Task Is_refused_while_a_session_holds_the_name(CancellationToken stop)
    {
        await using var held = await Locks.TryAcquireAsync(Name, stop);
        await using var transaction = await _connection.BeginTransactionAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await Locks.TryAcquireAsync(Name, transaction, stop), Is.Null);
            Assert.That(await Others.TryAcquireAsync(Name, transaction, stop), Is.Null);
            Assert.That(await LockTable.CountUntilAsync(Database, 1), Is.EqualTo(1));
        }
    }

    [Test]
    public async Task Is_refused_in_another_database(CancellationToken stop)
    {
        await using var held = await Locks.TryAcquireAsync(Name, stop);
        var elsewhere = await AssemblySetup.Server.CreateDatabaseAsync("elsewhere", stop);
        await using var connection = await Raw.OpenAsync(elsewhere, stop);
        await using var transaction = await connection.BeginTransactionAsync(stop);

        var refused = await Assert.ThrowsAsync<ArgumentException>(() => Locks.TryAcquireAsync(Name, transaction, stop));

        var here = new NpgsqlConnectionStringBuilder(Database);
        Assert.That(refused!.Message, Does.StartWith($"The lock {Name} cannot be acquired in this transaction, because it would exclude no holder of these locks")
            .And.Contain($"the locks are in {here.Host}:{here.Port}, database {here.Database},")
            .And.Contain($"the transaction is in {here.Host}:{here.Port}, database {connection.Database},")
            .And.Contain("Begin the transaction over the connection string of the locks"));
    }

    [Test]
    public async Task Is_refused_on_another_server(CancellationToken stop)
    {
        await using var held = await Locks.TryAcquireAsync(Name, stop);
        await using var elsewhere = await PostgresServer.StartOwnAsync(stop);
        await using var connection = await Raw.OpenAsync(elsewhere.ConnectionString, stop);
        await using var transaction = await connection.BeginTransactionAsync(stop);

        await Assert.ThatAsync(() => Locks.TryAcquireAsync(Name, transaction, stop), Throws.ArgumentException.With.Message.Contains("would exclude no holder of these locks"));
        await Assert.ThatAsync(() => Locks.TryAcquireAsync($"{Name}, free", transaction, stop), Throws.ArgumentException);
    }

    [Test]
    public async Task Is_proven_again_for_the_next_session(CancellationToken stop)
    {
        await using var held = await Locks.TryAcquireAsync(Name, stop);
        await using var transaction = await _connection.BeginTransactionAsync(stop);
        await using var first = await Locks.TryAcquireAsync($"{Name}, first", transaction, stop);
        var lost = held!.WhenLost();
        await LockTable.AskAsync(Database, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE (classid::bigint << 32) | objid::bigint = $1", LockKey.Of(Name).Value);
        await lost.WaitAsync(stop);
        await using var again = await Locks.TryAcquireOnceBackAsync($"{Name}, again", stop);

        await using var second = await Locks.TryAcquireAsync($"{Name}, second", transaction, stop);

        Assert.That(first, Is.Not.Null);
        Assert.That(second, Is.Not.Null);
        await transaction.RollbackAsync(stop);
    }

    [Test]
    public async Task Ends_with_the_rollback(CancellationToken stop)
    {
        await using var transaction = await _connection.BeginTransactionAsync(stop);
        Assert.That(await Locks.TryAcquireAsync(Name, transaction, stop), Is.Not.Null);

        await transaction.RollbackAsync(stop);

        await using var next = await Others.TryAcquireAsync(Name, stop);
        Assert.That(next, Is.Not.Null);
    }

    [Test]
    public async Task Ends_with_the_connection(CancellationToken stop)
    {
        var transaction = await _connection.BeginTransactionAsync(stop);
        Assert.That(await Locks.TryAcquireAsync(Name, transaction, stop), Is.Not.Null);

        await _connection.CloseAsync();

        await using var next = await Others.AcquireAsync(Name, Patience, stop);
        Assert.That(next.Key, Is.EqualTo(LockKey.Of(Name)));
    }

    [Test]
    public async Task Is_not_ended_by_its_handle(CancellationToken stop)
    {
        await using var transaction = await _connection.BeginTransactionAsync(stop);
        var held = await Locks.TryAcquireAsync(Name, transaction, stop);

        await held!.DisposeAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await Others.TryAcquireAsync(Name, stop), Is.Null);
            Assert.That(held.Lost.IsCancellationRequested, Is.False);
        }
    }

    [Test]
    public async Task Is_granted_again_in_the_same_transaction_and_to_no_other(CancellationToken stop)
    {
        await using var other = await Raw.OpenAsync(Database, stop);
        await using var transaction = await _connection.BeginTransactionAsync(stop);
        await using var others = await other.BeginTransactionAsync(stop);
        Assert.That(await Locks.TryAcquireAsync(Name, transaction, stop), Is.Not.Null);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await Locks.TryAcquireAsync(Name, transaction, stop), Is.Not.Null);
            Assert.That(await Locks.TryAcquireAsync(Name, others, stop), Is.Null);
        }
    }

    [Test]
    public async Task Is_noticed_by_one_who_waits_when_it_ends(CancellationToken stop)
    {
        await using var transaction = await _connection.BeginTransactionAsync(stop);
        Assert.That(await Locks.TryAcquireAsync(Name, transaction, stop), Is.Not.Null);
        var waiting = Others.AcquireAsync(Name, Patience, stop);
        await Markers.WhenShownAsync(Database, Markers.Waiting, stop);

        await transaction.CommitAsync(stop);

        await using var next = await waiting.WaitAsync(Patience, stop);
        Assert.That(next.Name, Is.EqualTo(Name));
    }

    [TestCase("commit"), TestCase("rollback"), TestCase("dispose"), TestCase("close")]
    public async Task Cannot_be_taken_in_a_transaction_that_is_over(string end, CancellationToken stop)
    {
        var transaction = await _connection.BeginTransactionAsync(stop);
        if (end is "commit") await transaction.CommitAsync(stop);
        if (end is "rollback") await transaction.RollbackAsync(stop);
        if (end is "dispose") await transaction.DisposeAsync();
        if (end is "close") await _connection.CloseAsync();

        var error = await Assert.ThrowsAsync<ArgumentException>(() => Locks.TryAcquireAsync(Name, transaction, stop));

        Assert.That(error!.Message, Does.Contain("The transaction is over").And.Contain(Name));
    }

    [Test]
    public async Task Has_no_fencing_token_and_says_that_it_needs_none(CancellationToken stop)
    {
        await using var transaction = await _connection.BeginTransactionAsync(stop);
        var held = await Locks.TryAcquireAsync(Name, transaction, stop);

        var error = Assert.Throws<InvalidOperationException>(() => _ = held!.FencingToken);

        Assert.That(error!.Message, Does.Contain(Name).And.Contain("A lock in a transaction of the caller has none and needs none."));
    }

    [Test]
    public async Task Has_the_scope_before_its_name(CancellationToken stop)
    {
        await using var billing = AdvisoryLocks.Connect(Database, static options => options.Scope = "billing");
        await using var transaction = await _connection.BeginTransactionAsync(stop);

        var held = await billing.TryAcquireAsync(Name, transaction, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(held!.Name, Is.EqualTo($"billing:{Name}"));
            Assert.That(await Locks.TryAcquireAsync($"billing:{Name}", stop), Is.Null);
        }
    }

    [Test]
    public async Task Works_through_PgBouncer_in_transaction_mode(CancellationToken stop)
    {
        if (!PgBouncer.IsInstalled) Assert.Ignore(PgBouncer.WhyMissing);
        await using var bouncer = await PgBouncer.StartAsync(Database, PoolMode.Transaction, stop: stop);
        await using var through = await Raw.OpenAsync(bouncer.ConnectionString, stop);
        await using var other = await Raw.OpenAsync(bouncer.ConnectionString, stop);

        // These locks never ask the server themselves: the transaction does.
        await using var locks = AdvisoryLocks.Connect(bouncer.ConnectionString);
        await using var transaction = await through.BeginTransactionAsync(stop);
        await using var others = await other.BeginTransactionAsync(stop);
        Assert.That(await locks.TryAcquireAsync(Name, transaction, stop), Is.Not.Null);
        Assert.That(await locks.TryAcquireAsync(Name, others, stop), Is.Null);
        Assert.That(await Locks.TryAcquireAsync(Name, stop), Is.Null);

        await transaction.CommitAsync(stop);

        Assert.That(await locks.TryAcquireAsync(Name, others, stop), Is.Not.Null);
        await others.RollbackAsync(stop);
        await using var free = await Locks.TryAcquireAsync(Name, stop);
        Assert.That(free, Is.Not.Null);
    }
}
