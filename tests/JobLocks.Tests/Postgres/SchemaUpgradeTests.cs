using JobLocks.Gate;
using JobLocks.Postgres.Schema;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Postgres;

/// <summary>A database has the objects of an older version, and processes of that version may still run. schema-10.sql is the script of version 10.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class SchemaUpgradeTests : WaitQueueFixture
{
    private const string BackToFive =
        """
        DROP INDEX joblocks.line_order;
        CREATE INDEX line_key ON joblocks.line (key, place);
        COMMENT ON SCHEMA joblocks IS 'Concurrency of jobs, made by JobLocks. Schema version 5'
        """;

    private const string BackToSeven =
        """
        DROP TRIGGER held_asked ON joblocks.held;
        DROP FUNCTION joblocks.note_asked();
        ALTER TABLE joblocks.held DROP COLUMN asked_role;
        COMMENT ON SCHEMA joblocks IS 'Concurrency of jobs, made by JobLocks. Schema version 7'
        """;

    private const string BackToEleven =
        """
        DROP TABLE joblocks.servers;
        ALTER TABLE joblocks.minutes DROP COLUMN free;
        COMMENT ON SCHEMA joblocks IS 'Concurrency of jobs, made by JobLocks. Schema version 11'
        """;

    private const string BackToTwelve =
        """
        DROP TABLE joblocks.recent_runs, joblocks.samples;
        ALTER TABLE joblocks.holders DROP COLUMN waiting_since;
        ALTER TABLE joblocks.minutes DROP COLUMN recorded;
        COMMENT ON SCHEMA joblocks IS 'Concurrency of jobs, made by JobLocks. Schema version 12'
        """;

    /// <summary>All objects of the schema, without their rows.</summary>
    private const string Catalog =
        """
        SELECT string_agg(line, E'\n' ORDER BY line)
        FROM   (SELECT format('%s.%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid)) AS line
                FROM   pg_class AS c
                JOIN   pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
                LEFT   JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
                WHERE  c.relnamespace = 'joblocks'::regnamespace AND c.relkind IN ('r', 'S')
                UNION ALL
                SELECT indexdef FROM pg_indexes WHERE schemaname = 'joblocks'
                UNION ALL
                SELECT pg_get_triggerdef(g.oid) FROM pg_trigger AS g JOIN pg_class AS c ON c.oid = g.tgrelid WHERE c.relnamespace = 'joblocks'::regnamespace
                UNION ALL
                SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'joblocks'::regnamespace
                UNION ALL
                SELECT obj_description('joblocks'::regnamespace, 'pg_namespace')) AS lines
        """;

    private static readonly string VersionTen =
        File.ReadAllText(Path.Combine(TestContext.CurrentContext.TestDirectory, "Postgres", "schema-10.sql"));

    [TestCase(BackToTwelve), TestCase(BackToEleven)]
    public async Task Adds_what_a_database_of_the_versions_before_lacks(string back, CancellationToken stop)
    {
        var (older, fresh) = (await NewDatabaseAsync(), await NewDatabaseAsync());
        foreach (var database in new[] { older, fresh })
        {
            await using var locks = AdvisoryLocks.Connect(database);
            await EnsureSessionAsync(locks, stop);
        }

        await LockTable.AskAsync(older, back);
        await using (var locks = AdvisoryLocks.Connect(older)) await EnsureSessionAsync(locks, stop);

        Assert.That(await LockTable.AskAsync(older, Catalog), Is.EqualTo(await LockTable.AskAsync(fresh, Catalog)));
    }

    [TestCase(""), TestCase(BackToSeven), TestCase(BackToFive)]
    public async Task Gives_the_objects_of_an_older_version_the_form_of_new_ones(string back, CancellationToken stop)
    {
        var (older, fresh) = (await NewDatabaseAsync(), await NewDatabaseAsync());
        await LockTable.AskAsync(older, VersionTen + back);

        foreach (var database in new[] { older, fresh })
        {
            await using var locks = AdvisoryLocks.Connect(database);
            await EnsureSessionAsync(locks, stop);
        }

        Assert.That(await LockTable.AskAsync(older, Catalog), Is.EqualTo(await LockTable.AskAsync(fresh, Catalog)));
    }

    [Test]
    public async Task Wakes_the_runs_that_waited_under_version_ten_before_later_runs(CancellationToken stop)
    {
        var database = await NewDatabaseAsync();
        await LockTable.AskAsync(database, VersionTen);
        await LockTable.AskAsync(
            database,
            "INSERT INTO joblocks.line (store, run, queue, key, name, mode, slots, parked) SELECT $1, n::text, '', $2, $3, 0, 1, true FROM generate_series(1, 2) AS n",
            Runs.Id,
            Key.Value,
            Name);
        await LockTable.AskAsync(database, "INSERT INTO joblocks.limits (name, slots, said_by) VALUES ('api', 3, 'billing')");

        await using var locks = AdvisoryLocks.Connect(database);
        var holder = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, run: 3, stop);
        ((ILockBackend)locks).WaitQueue.AddStore(Runs);
        await holder!.DisposeAsync();
        var order = new List<string>();
        while (order.Count < 3)
        {
            var woken = await Runs.NextAsync(stop);
            order.Add(woken.Address.Run);
            (await EnterAsync(locks, woken, stop)).Dispose();
        }

        using (Assert.EnterMultipleScope())
        {
            Assert.That(order, Is.EqualTo(["1", "2", "3"]));
            Assert.That(await LockTable.AskAsync(database, "SELECT format('%s %s %s', name, slots, declared_by) FROM joblocks.declared_limits"), Is.EqualTo("api 3 billing"));
        }
    }

    [Test]
    public async Task Keeps_what_a_process_of_version_seven_has_written_down_and_names_the_role_of_the_next_request(CancellationToken stop)
    {
        var database = await NewDatabaseAsync();
        await LockTable.AskAsync(database, VersionTen + BackToSeven);
        await using var older = new NpgsqlConnection(database + ";Pooling=false");
        await older.OpenAsync(stop);
        await RunAsync(
            older,
            """
            INSERT INTO joblocks.sessions SELECT pid, backend_start, 'older' FROM pg_stat_activity WHERE pid = pg_backend_pid();
            INSERT INTO joblocks.held (backend, nth, connected, key, line, name, run, since) SELECT backend, 1, connected, 7, 7, 'older', 'job 1', now() FROM joblocks.sessions
            """,
            stop);

        await using var newer = AdvisoryLocks.Connect(database);
        await using var held = (await newer.TryAcquireAsync("held", stop))!;
        while (await LockTable.AskAsync(database, "SELECT count(*) FROM joblocks.holders WHERE name = 'held'") is 0L) stop.ThrowIfCancellationRequested();
        var lost = held.WhenLost();
        await LockTable.AskAsync(database, "UPDATE joblocks.holders SET release_requested_by = 'Ann'");
        await lost.WaitAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(held.LostReason, Does.Contain($"Ann (database role {new NpgsqlConnectionStringBuilder(database).Username})"));
            Assert.That(await LockTable.AskAsync(database, "SELECT string_agg(name || ' ' || run, ', ') FROM joblocks.holders WHERE number = 1 AND name = 'older'"), Is.EqualTo("older job 1"));
        }
    }

    [Test]
    public async Task Is_refused_by_a_lock_under_the_key_that_version_ten_gives(CancellationToken stop)
    {
        var database = await NewDatabaseAsync();
        await LockTable.AskAsync(database, VersionTen);
        if (await LockTable.AskAsync(database, "SELECT to_regprocedure('joblocks.key(text)')::text") is null or DBNull) Assert.Ignore("This PostgreSQL has no pgcrypto.");
        await using var older = await Raw.OpenAsync(database, stop);
        await older.AskAsync($"SELECT pg_advisory_lock(joblocks.key('{Name}'))", stop);
        await using var newer = AdvisoryLocks.Connect(database);

        await using var refused = await newer.TryAcquireAsync(Name, stop);
        await older.AskAsync("SELECT pg_advisory_unlock_all()", stop);
        await using var next = await newer.TryAcquireAsync(Name, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(refused, Is.Null);
            Assert.That(next, Is.Not.Null);
        }
    }

    [Test]
    public async Task Waits_for_sessions_that_use_the_wait_queue_and_causes_no_deadlock(CancellationToken stop)
    {
        var database = await NewDatabaseAsync();
        await LockTable.AskAsync(database, VersionTen);
        await using var older = new NpgsqlConnection(database + ";Pooling=false");
        await older.OpenAsync(stop);
        await using var atWork = await older.BeginTransactionAsync(stop);
        await RunAsync(older, "SELECT FROM joblocks.line", stop);

        await using var newer = AdvisoryLocks.Connect(database);
        var upgrade = EnsureSessionAsync(newer, stop);
        while (await LockTable.AskAsync(database, "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'joblocks.line'::regclass") is 0L) stop.ThrowIfCancellationRequested();
        await RunAsync(older, "DELETE FROM joblocks.line WHERE place = 0", stop);
        await atWork.CommitAsync(stop);
        await upgrade;

        Assert.That(await VersionAsync(database), Does.EndWith($"Schema version {SchemaSql.Version}"));
    }

    [Test]
    public async Task Names_the_version_that_it_found_where_it_must_not_upgrade(CancellationToken stop)
    {
        var database = await NewDatabaseAsync();
        await LockTable.AskAsync(database, VersionTen);
        await using var newer = AdvisoryLocks.Connect(database, static options => options.PrepareSchema = false);

        var refused = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => newer.TryAcquireAsync("refused", stop));

        Assert.That(refused!.Message, Does.Contain($"has version 10 and not {SchemaSql.Version}, and PrepareSchema is false").And.Contain("docs/schema.sql"));
    }

    [Test]
    public async Task Keeps_its_wait_queue_where_a_process_of_version_ten_creates_its_own_objects_again(CancellationToken stop)
    {
        var locks = Open();
        var holder = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, run: 1, stop);

        await LockTable.AskAsync(Database, VersionTen);
        while (!(await VersionAsync(Database)).EndsWith($"Schema version {SchemaSql.Version}", StringComparison.Ordinal)) await Task.Delay(50, stop);
        await holder!.DisposeAsync();

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("1"));
    }

    private static async Task<string> VersionAsync(string database) => (string)(await LockTable.AskAsync(database, "SELECT obj_description('joblocks'::regnamespace, 'pg_namespace')"))!;

    private static async Task RunAsync(NpgsqlConnection connection, string sql, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(stop);
    }
}
