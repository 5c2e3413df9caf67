using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Faults;

/// <summary>Servers whose lock functions exist and do not exclude: no session opens, no lock is granted, and the error names cause and cure.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class ExclusionTests
{
    private const string Cure = "Give JobLocks the connection string of a PostgreSQL server, or turn on the advisory locks of this engine";
    private const string All = $"{StubFunctions.Acquires}, {StubFunctions.AcquiresInTransactions}, {StubFunctions.Releases}";

    private const string EndsTheFirstConnection =
        """
        BEGIN
            IF REAL THEN RETURN true; END IF;
            PERFORM pg_terminate_backend(pid, 10000) FROM pg_locks WHERE classid = 1246523506 AND objsubid = 1 AND mode = 'ExclusiveLock' AND pid <> pg_backend_pid();
            RETURN REAL;
        END
        """;

    private static IEnumerable<string> EachAcquire => StubFunctions.Split(StubFunctions.Acquires);

    private static IEnumerable<string> EachAcquireOfAnyKind => StubFunctions.Split($"{StubFunctions.Acquires}, {StubFunctions.AcquiresInTransactions}");

    private static IEnumerable<string> EachRelease => StubFunctions.Split(StubFunctions.Releases);

    [Test]
    public async Task Refuses_a_server_whose_locks_do_not_exclude(CancellationToken stop) =>
        await RefusesAsync(await StubAsync(All, "SELECT true"), "its functions grant locks that pg_locks does not show as held by their connection", stop);

    [TestCaseSource(nameof(EachAcquireOfAnyKind))]
    public async Task Refuses_a_server_with_a_function_that_always_grants(string function, CancellationToken stop) =>
        await RefusesAsync(await StubAsync(function, "SELECT coalesce(nullif(REAL, false), true)"), $"{function} grants a lock that another connection holds", stop);

    [TestCaseSource(nameof(EachAcquire))]
    public async Task Refuses_a_server_with_a_function_that_always_refuses(string function, CancellationToken stop) =>
        await RefusesAsync(await StubAsync(function, "SELECT false"), $"{function} refuses a lock that no connection holds", stop);

    [TestCase("pg_try_advisory_xact_lock_shared(bigint)"), TestCase("pg_try_advisory_xact_lock_shared(int, int)")]
    public async Task Refuses_a_server_whose_shared_locks_are_not_shared(string function, CancellationToken stop) =>
        await RefusesAsync(await StubAsync(function, "SELECT false"), $"{function} refuses a lock that other connections only share", stop);

    [TestCaseSource(nameof(EachRelease))]
    public async Task Refuses_a_server_with_a_function_that_only_says_that_it_releases(string function, CancellationToken stop) =>
        await RefusesAsync(await StubAsync(function, "SELECT true"), $"{function} answers true and does not release the lock", stop);

    [TestCaseSource(nameof(EachRelease))]
    public async Task Refuses_a_server_with_a_function_that_does_not_release(string function, CancellationToken stop) =>
        await RefusesAsync(await StubAsync(function, "SELECT false"), $"{function} does not release a lock of its connection", stop);

    [Test]
    public async Task Uses_the_functions_of_the_server_where_others_precede_them_on_the_search_path(CancellationToken stop)
    {
        var database = await AssemblySetup.Server.CreateDatabaseAsync("shadowed", stop);
        await LockTable.AskAsync(database, "CREATE SCHEMA shadows");
        foreach (var function in StubFunctions.Split(All)) await LockTable.AskAsync(database, $"CREATE FUNCTION shadows.{function} RETURNS boolean LANGUAGE sql AS 'SELECT true'");
        await LockTable.AskAsync(database, $"ALTER DATABASE \"{new NpgsqlConnectionStringBuilder(database).Database}\" SET search_path = shadows, pg_catalog");
        await using var one = AdvisoryLocks.Connect(database);
        await using var other = AdvisoryLocks.Connect(database);

        await using var first = await one.TryAcquireAsync("shadowed", stop);
        await using var second = await other.TryAcquireAsync("shadowed", stop);

        Assert.That((first is null, second is null), Is.EqualTo((false, true)));
    }

    [Test]
    public async Task Refuses_an_address_that_leads_to_two_servers(CancellationToken stop)
    {
        await using var one = await PostgresServer.StartOwnAsync(stop);
        await using var other = await PostgresServer.StartOwnAsync(stop);
        await using var proxy = new TwoServersProxy(one.ConnectionString, other.ConnectionString);
        await using var locks = AdvisoryLocks.Connect(proxy.ConnectionString);

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("two", stop));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.Message, Does.Contain("two connections to it reach two servers").And.Contain("Name one server in the connection string"));
            Assert.That(error.NeedsChange, Is.True);
            foreach (var server in new[] { one, other }) Assert.That(await LockTable.CountLeftAsync(server.ConnectionString), Is.Zero);
            foreach (var server in new[] { one, other }) Assert.That(await LockTable.AskAsync(server.ConnectionString, "SELECT to_regnamespace('joblocks')::text"), Is.InstanceOf<DBNull>());
        }
    }

    [Test]
    public async Task Uses_the_next_host_where_the_first_one_leads_to_two_servers(CancellationToken stop)
    {
        await using var one = await PostgresServer.StartOwnAsync(stop);
        await using var other = await PostgresServer.StartOwnAsync(stop);
        await using var proxy = new TwoServersProxy(one.ConnectionString, other.ConnectionString);
        var (through, direct) = (new NpgsqlConnectionStringBuilder(proxy.ConnectionString), new NpgsqlConnectionStringBuilder(other.ConnectionString));
        through.Host = $"{through.Host}:{through.Port},{direct.Host}:{direct.Port}";
        await using var locks = AdvisoryLocks.Connect(through.ConnectionString);

        await using var held = await locks.TryAcquireAsync("next host", stop);

        Assert.That(await Sessions.IsHeldAsync(other.ConnectionString, "next host"), Is.True);
    }

    [Test]
    public async Task Refuses_an_address_that_leads_to_a_primary_and_a_standby(CancellationToken stop)
    {
        await using var primary = await PostgresServer.StartOwnAsync(stop);
        await using var standby = await PostgresServer.StartOwnAsync(stop);
        var data = await LockTable.AskAsync(standby.ConnectionString, "SHOW data_directory");
        await LockTable.AskAsync(standby.ConnectionString, $"COPY (SELECT '') TO '{data}/standby.signal'");
        await standby.RestartAsync(stop: stop);
        await using var proxy = new TwoServersProxy(primary.ConnectionString, standby.ConnectionString);
        await using var locks = AdvisoryLocks.Connect(proxy.ConnectionString);

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("two", stop));

        Assert.That(error!.Message, Does.Contain("two connections to it reach two servers").And.Contain("Name one server in the connection string"));
    }

    [TestCase(PoolMode.Transaction, "in transaction mode"), TestCase(PoolMode.Statement, "in statement mode")]
    public async Task Refuses_a_pooler_that_lends_its_connections(PoolMode mode, string cause, CancellationToken stop)
    {
        if (!PgBouncer.IsInstalled) Assert.Ignore(PgBouncer.WhyMissing);
        var database = await AssemblySetup.Server.CreateDatabaseAsync("pooled", stop);
        await using var bouncer = await PgBouncer.StartAsync(database, mode, stop: stop);

        var error = await RefusalAsync(bouncer.ConnectionString, stop);

        Assert.That(error.Message, Does.Contain($"a pooler {cause}").And.Contain("Use the pooler's session mode"));
    }

    [Test]
    public async Task Excludes_through_a_pooler_in_session_mode(CancellationToken stop)
    {
        if (!PgBouncer.IsInstalled) Assert.Ignore(PgBouncer.WhyMissing);
        var database = await AssemblySetup.Server.CreateDatabaseAsync("pooled", stop);
        await using var bouncer = await PgBouncer.StartAsync(database, PoolMode.Session, stop: stop);
        await using var pooled = AdvisoryLocks.Connect(bouncer.ConnectionString);
        await using var direct = AdvisoryLocks.Connect(database);

        await using var held = await pooled.TryAcquireAsync("pooled", stop);
        await using var refused = await direct.TryAcquireAsync("pooled", stop);

        Assert.That((held is null, refused is null), Is.EqualTo((false, true)));
    }

    [Test]
    public async Task Refuses_a_server_that_only_reads(CancellationToken stop)
    {
        var database = await AssemblySetup.Server.CreateDatabaseAsync("reader", stop);
        await LockTable.AskAsync(
            database,
            """
            SET allow_system_table_mods = on;
            ALTER FUNCTION pg_catalog.current_setting(text) RENAME TO real_setting;
            CREATE FUNCTION pg_catalog.current_setting(name text) RETURNS text LANGUAGE sql AS
            $$ SELECT CASE name WHEN 'transaction_read_only' THEN 'on' ELSE pg_catalog.real_setting(name) END $$
            """);

        var error = await RefusalAsync(database, stop);

        Assert.That(error.Message, Does.Contain("it only reads").And.Contain("Name the primary"));
    }

    /// <summary>The first connection ends between its lock and the try of the second one, which is then granted.</summary>
    [Test]
    public async Task Does_not_accuse_a_server_that_ended_the_first_connection(CancellationToken stop)
    {
        var database = await StubAsync("pg_try_advisory_lock(bigint)", EndsTheFirstConnection, "plpgsql");
        await using var locks = AdvisoryLocks.Connect(database);

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("ended", stop));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.Message, Does.Contain("57P01").And.Not.Contain("exclude"));
            Assert.That(error.NeedsChange, Is.False);
        }
    }

    [Test]
    public async Task Proves_it_again_after_a_lost_session(CancellationToken stop)
    {
        var database = await AssemblySetup.Server.CreateDatabaseAsync("reopened", stop);
        await using var locks = AdvisoryLocks.Connect(database);
        var held = (await locks.TryAcquireAsync("first", stop))!;
        var lost = held.WhenLost();
        await StubFunctions.ReplaceAsync(database, All, "SELECT true");

        await LockTable.EndSessionsAsync(database);
        await lost.WaitAsync(stop);
        await held.DisposeAsync();

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("second", stop));
        Assert.That(error!.Message, Does.Contain("its advisory locks do not exclude each other").And.Contain(Cure));
    }

    [Test]
    public async Task Opens_fifty_sessions_at_once_and_leaves_no_lock(CancellationToken stop)
    {
        var database = await AssemblySetup.Server.CreateDatabaseAsync("fleet", stop);
        var fleet = Enumerable.Range(0, 50).Select(_ => AdvisoryLocks.Connect(database, static options => options.Schema = null)).ToList();

        await Task.WhenAll(fleet.Select(locks => locks.EnsureSessionAsync(stop)));

        Assert.That(await LockTable.CountAsync(database), Is.Zero);
        foreach (var locks in fleet) await locks.DisposeAsync();
    }

    [Test]
    public async Task Does_not_list_the_locks_of_a_session_that_opens(CancellationToken stop)
    {
        var database = await AssemblySetup.Server.CreateDatabaseAsync("listed", stop);
        await using var opening = await Raw.OpenAsync(database, stop);
        await opening.AskAsync("SELECT pg_advisory_lock((1246523506::bigint << 32) | 4), pg_advisory_lock_shared((1246523506::bigint << 32) | 5), pg_advisory_lock(1246523506, 4)", stop);
        await using var locks = AdvisoryLocks.Connect(database);
        await using var held = await locks.TryAcquireAsync("listed", stop);

        var seen = await locks.Inspector.GetHeldAsync(stop: stop);
        var overview = await locks.Inspector.GetOverviewAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(seen.Items.Select(static one => one.Key), Is.EqualTo([LockKey.Of("listed")]));
            Assert.That(overview.InternalLockHolders, Is.Empty);
        }
    }

    private static Task<string> StubAsync(string functions, string body, string language = "sql") => StubFunctions.CreateDatabaseAsync(AssemblySetup.Server, functions, body, language);

    private static async Task RefusesAsync(string database, string fault, CancellationToken stop)
    {
        var error = await RefusalAsync(database, stop);

        Assert.That(error.Message, Does.Contain($"its advisory locks do not exclude each other: {fault} (PostgreSQL ").And.Contain(Cure));
    }

    private static async Task<JobLocksUnavailableException> RefusalAsync(string database, CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(database);

        var error = (await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("refused", stop)))!;

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error.NeedsChange, Is.True);
            Assert.That(await LockTable.CountLeftAsync(database), Is.Zero);
            Assert.That(await LockTable.AskAsync(database, "SELECT to_regnamespace('joblocks')::text"), Is.InstanceOf<DBNull>());
        }

        return error;
    }
}
