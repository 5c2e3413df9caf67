using JobLocks.Gate;
using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Faults;

/// <summary>Servers that refuse us, or that cannot keep locks: one clear error, no lock, no secret. Has a server of its own to set up.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class RefusalTests
{
    private const string Secret = "hush-hush-4711";
    private const string WrongSecret = "hush-hush-4712";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private PostgresServer _server = null!;
    private LogLines _log = null!;

    /// <summary>The role whose password is asked for.</summary>
    private string Guarded => With(static settings =>
    {
        settings.Username = "guarded";
        settings.Password = Secret;
    });

    [OneTimeSetUp]
    public async Task StartServer()
    {
        _server = await PostgresServer.StartOwnAsync();
        var server = _server.ConnectionString;
        await LockTable.AskAsync(server, $"CREATE ROLE guarded LOGIN PASSWORD '{Secret}'");
        await LockTable.AskAsync(server, "CREATE ROLE plain LOGIN");
        await LockTable.AskAsync(server, "CREATE ROLE hurried LOGIN");
        await LockTable.AskAsync(server, "GRANT CREATE ON DATABASE postgres TO guarded, plain, hurried");

        // Written by the server itself, whose file it is.
        var rules = await LockTable.AskAsync(server, "SHOW hba_file");
        await LockTable.AskAsync(server, $"COPY (SELECT unnest(ARRAY['host all guarded 127.0.0.1/32 scram-sha-256', 'host all all 127.0.0.1/32 trust'])) TO '{rules}'");
        await LockTable.AskAsync(server, "SELECT pg_reload_conf()");
        await WhenPasswordsAreAskedForAsync();
    }

    [OneTimeTearDown]
    public async Task StopServer() => await _server.DisposeAsync();

    [SetUp]
    public void StartLog() => _log = new();

    [TearDown]
    public async Task Leaves_no_lock_and_no_secret_behind()
    {
        _log.Dispose();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(_log.Text, Does.Not.Contain("hush-hush"));
            Assert.That(await LockTable.CountLeftAsync(_server.ConnectionString), Is.Zero);
        }
    }

    [Test]
    public async Task Refuses_a_wrong_password_with_the_cure(CancellationToken stop)
    {
        await using var locks = Locks(With(static settings =>
        {
            settings.Username = "guarded";
            settings.Password = WrongSecret;
        }));

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("refused", stop));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.Message, Does.Contain("28P01").And.Contain("Correct user and password"));
            Assert.That(error.ToString(), Does.Not.Contain("hush-hush"));
            Assert.That(error.NeedsChange, Is.True);
        }
    }

    [Test]
    public async Task Works_with_the_password_of_the_connection_string(CancellationToken stop)
    {
        await using var locks = Locks(Guarded);

        await using var handle = await locks.TryAcquireAsync("password", stop);

        Assert.That(handle, Is.Not.Null);
    }

    [TestCase(true), TestCase(false)]
    public async Task Works_with_the_password_provider_of_a_data_source(bool periodic, CancellationToken stop)
    {
        var builder = new NpgsqlDataSourceBuilder(With(static settings => settings.Username = "guarded"));
        if (periodic) builder.UsePeriodicPasswordProvider(static (_, _) => ValueTask.FromResult(Secret), Patience, Patience);
        else builder.UsePasswordProvider(static _ => Secret, static (_, _) => ValueTask.FromResult(Secret));
        await using var source = builder.Build();
        await using var locks = AdvisoryLocks.Connect(source, loggers: _log);

        await using var handle = await locks.TryAcquireAsync("provider", stop);

        Assert.That(handle, Is.Not.Null);
    }

    [Test]
    public async Task Refuses_a_role_that_may_not_connect_with_the_cure_and_works_once_it_may(CancellationToken stop)
    {
        var admin = _server.ConnectionString;
        await LockTable.AskAsync(admin, "CREATE DATABASE closed");
        await LockTable.AskAsync(admin, "REVOKE CONNECT ON DATABASE closed FROM PUBLIC; GRANT CREATE ON DATABASE closed TO plain");
        await using var locks = Locks(With(static settings => (settings.Database, settings.Username) = ("closed", "plain")));
        const string Cure = "GRANT CONNECT ON DATABASE \"closed\" TO \"plain\"";

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("refused", stop));
        var looking = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.Inspector.GetOverviewAsync(stop));
        var waiting = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => ((ILockBackend)locks).WaitQueue.FindAsync(new("store", "1", ""), blocks: false, stop).AsTask());
        await LockTable.AskAsync(admin, "GRANT CONNECT ON DATABASE closed TO plain");
        await using var handle = await locks.TryAcquireOnceBackAsync("refused", stop);

        using (Assert.EnterMultipleScope())
        {
            foreach (var refused in new[] { error, looking, waiting }) Assert.That(refused!.Message, Does.Contain(Cure).And.Not.Contain("pg_signal_backend"));
            Assert.That(error!.NeedsChange && looking!.NeedsChange && waiting!.NeedsChange, Is.True);
            Assert.That(handle, Is.Not.Null);
        }
    }

    [Test]
    public async Task Refuses_a_database_that_is_not_there_and_works_once_it_is(CancellationToken stop)
    {
        await using var locks = Locks(With(static settings => settings.Database = "later"));

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("refused", stop));

        Assert.That(error!.Message, Does.Contain("database later").And.Contain("3D000").And.Contain("or create it"));
        await LockTable.AskAsync(_server.ConnectionString, "CREATE DATABASE later");
        await using var handle = await locks.TryAcquireOnceBackAsync("refused", stop);
        Assert.That(handle, Is.Not.Null);
    }

    [Test]
    public async Task Refuses_a_standby_and_works_once_it_is_promoted(CancellationToken stop)
    {
        // A server that finds this file follows another one, though nobody names one here.
        await using var server = await PostgresServer.StartOwnAsync(stop);
        var data = await LockTable.AskAsync(server.ConnectionString, "SHOW data_directory");
        await LockTable.AskAsync(server.ConnectionString, $"COPY (SELECT '') TO '{data}/standby.signal'");
        await server.RestartAsync(stop: stop);
        await using var locks = Locks(server.ConnectionString);

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("standby", stop));

        Assert.That(error!.Message, Does.Contain("it is a standby").And.Contain("Name the primary"));
        await LockTable.AskAsync(server.ConnectionString, "SELECT pg_promote()");
        await using var handle = await locks.TryAcquireOnceBackAsync("standby", stop);
        Assert.That(handle?.FencingToken, Is.Positive);
    }

    [Test]
    public async Task Refuses_to_go_without_TLS_where_only_we_want_it_and_says_that_this_needs_a_change(CancellationToken stop)
    {
        await using var locks = Locks(With(static settings => settings.SslMode = SslMode.Require));

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("no TLS", stop));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.Message, Does.Contain("SSL Mode"));
            Assert.That(error.NeedsChange, Is.True);
        }
    }

    [Test]
    public async Task Refuses_a_server_that_is_too_old(CancellationToken stop)
    {
        await using var locks = Locks(await PretendAsync("110022"));

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("too old", stop));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.Message, Does.Contain("it has version 11, and JobLocks needs 12 or later"));
            Assert.That(error.NeedsChange, Is.True);
        }
    }

    [TestCase("120000", true), TestCase("139999", true), TestCase("140000", false)]
    public async Task Warns_of_a_server_that_cannot_end_a_silent_session(string version, bool warns, CancellationToken stop)
    {
        await using var locks = Locks(await PretendAsync(version));

        await using var handle = await locks.TryAcquireAsync("old", stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(handle, Is.Not.Null);
            Assert.That(_log.Text, warns ? Does.Contain($"PostgreSQL {version[..2]} cannot end an idle session") : Does.Not.Contain("cannot end an idle session"));
        }
    }

    [Test]
    public async Task Refuses_a_pooler_in_transaction_mode_with_the_cure(CancellationToken stop)
    {
        if (!PgBouncer.IsInstalled) Assert.Ignore(PgBouncer.WhyMissing);
        await using var bouncer = await PgBouncer.StartAsync(_server.ConnectionString, PoolMode.Transaction, stop: stop);
        await using var locks = Locks(bouncer.ConnectionString);

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("pooled", stop));

        Assert.That(error!.Message, Does.Contain("transaction mode").And.Contain("session mode").And.Contain("PostgreSQL's own port"));
    }

    [TestCase(PoolMode.Transaction), TestCase(PoolMode.Statement)]
    public async Task Leaves_the_settings_of_the_other_clients_of_a_pooler_alone_when_it_is_refused(PoolMode mode, CancellationToken stop)
    {
        if (!PgBouncer.IsInstalled) Assert.Ignore(PgBouncer.WhyMissing);
        await using var bouncer = await PgBouncer.StartAsync(_server.ConnectionString, mode, stop: stop);
        var before = await SettingsOfClientsAsync(bouncer.ConnectionString, stop);

        await using (var locks = Locks(bouncer.ConnectionString))
        {
            await Assert.ThatAsync(() => locks.TryAcquireAsync("pooled", stop), Throws.TypeOf<JobLocksUnavailableException>());
            await Assert.ThatAsync(() => locks.Inspector.GetOverviewAsync(stop), Throws.TypeOf<JobLocksUnavailableException>());
        }

        Assert.That(await SettingsOfClientsAsync(bouncer.ConnectionString, stop), Is.EqualTo(before).And.Count.EqualTo(1));
    }

    /// <summary>The different settings that clients of a pooler find: some of them at once, so that each backend of the pool serves one of them.</summary>
    private static async Task<IReadOnlyCollection<object?>> SettingsOfClientsAsync(string pooler, CancellationToken stop)
    {
        const string Settings =
            """
            SELECT concat_ws(' ', pg_sleep(0.1), current_setting('search_path'), current_setting('statement_timeout'), current_setting('default_transaction_isolation'),
                             current_setting('bytea_output'), current_setting('joblocks.served', true))
            """;
        var clients = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Raw.OpenAsync(pooler, stop)));
        try
        {
            return (await Task.WhenAll(clients.Select(client => client.AskAsync(Settings, stop)))).Distinct().ToList();
        }
        finally
        {
            foreach (var client in clients) await client.DisposeAsync();
        }
    }

    [Test]
    public async Task Holds_and_gives_back_its_locks_through_a_pooler_in_session_mode(CancellationToken stop)
    {
        if (!PgBouncer.IsInstalled) Assert.Ignore(PgBouncer.WhyMissing);
        await using var bouncer = await PgBouncer.StartAsync(_server.ConnectionString, PoolMode.Session, stop: stop);
        await using (var locks = Locks(bouncer.ConnectionString))
        {
            await using var handle = await locks.TryAcquireAsync("session", stop);

            Assert.That(handle, Is.Not.Null);
            Assert.That(await Sessions.IsHeldAsync(_server.ConnectionString, "session"), Is.True);
        }

        await Sessions.WhenFreeAsync(_server.ConnectionString, "session", stop);
    }

    [Test]
    public async Task Keeps_its_locks_and_its_waiters_under_all_limits_that_a_role_can_carry(CancellationToken stop)
    {
        foreach (var limit in (string[])["statement_timeout = '300ms'", "lock_timeout = '50ms'", "idle_session_timeout = '200ms'", "idle_in_transaction_session_timeout = '50ms'"])
            await LockTable.AskAsync(_server.ConnectionString, $"ALTER ROLE hurried SET {limit}");
        var hurried = With(static settings => settings.Username = "hurried");
        await using var locks = Locks(hurried);
        await using var others = Locks(_server.ConnectionString);
        await using var held = await locks.TryAcquireAsync("hurried", stop);
        var theirs = await others.TryAcquireAsync("theirs", stop);
        var waiter = locks.AcquireAsync("theirs", Patience, stop);

        // Sessions of the same role without our settings are ended meanwhile, three times over.
        for (var round = 0; round < 3; round++)
        {
            await using var idle = await Raw.OpenAsync(hurried, stop);
            while (await LockTable.AskAsync(_server.ConnectionString, "SELECT 1 FROM pg_stat_activity WHERE pid = $1", idle.ProcessID) is not null) await Task.Delay(DatabaseState.LookAgainAfter, stop);
        }

        var waited = waiter.IsCompleted;
        await theirs!.DisposeAsync();
        await using var next = await waiter;
        using (Assert.EnterMultipleScope())
        {
            Assert.That(waited, Is.False);
            Assert.That(held?.Lost.IsCancellationRequested, Is.False);
            Assert.That(await Sessions.IsHeldAsync(_server.ConnectionString, "hurried"), Is.True);
            Assert.That(_log.Text, Does.Not.Contain("Releases by other processes are not heard"));
        }
    }

    /// <summary>A database in which the server says that it has another version.</summary>
    private async Task<string> PretendAsync(string version)
    {
        var database = await _server.CreateDatabaseAsync($"v{version}");
        await LockTable.AskAsync(
            database,
            $"""
            SET allow_system_table_mods = on;
            ALTER FUNCTION pg_catalog.current_setting(text) RENAME TO real_setting;
            CREATE FUNCTION pg_catalog.current_setting(name text) RETURNS text LANGUAGE sql AS
            $$ SELECT CASE name WHEN 'server_version_num' THEN '{version}' ELSE pg_catalog.real_setting(name) END $$
            """);
        return database;
    }

    private string With(Action<NpgsqlConnectionStringBuilder> change)
    {
        var settings = new NpgsqlConnectionStringBuilder(_server.ConnectionString);
        change(settings);
        return settings.ConnectionString;
    }

    private async Task WhenPasswordsAreAskedForAsync()
    {
        while (true)
        {
            try
            {
                await LockTable.AskAsync(With(static settings => settings.Username = "guarded"), "SELECT 1");
            }
            catch (Exception refused) when (refused is NpgsqlException)
            {
                return;
            }
        }
    }

    private AdvisoryLocks Locks(string connectionString) => AdvisoryLocks.Connect(connectionString, loggers: _log);
}
