using System.Text.Json;
using JobLocks.Postgres.Schema;
using JobLocks.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Npgsql;

namespace JobLocks.Tests.Postgres;

/// <summary>Our few objects in the database: how they come, who may go without them, and that the locks need none of them.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class SchemaTests
{
    private const string Ours = "SELECT count(*) FROM pg_namespace WHERE nspname = 'joblocks'";

    private const string WaitsFor300Ms =
        "SELECT count(*) FROM pg_locks WHERE relation = 'pg_catalog.pg_proc'::regclass AND NOT granted AND waitstart < clock_timestamp() - interval '300 ms'";

    private readonly List<(string Database, string Role)> _roles = [];

    private sealed record Vector(string Name, long Key);

    [OneTimeTearDown]
    public async Task DropRoles()
    {
        foreach (var (database, role) in _roles)
        {
            // What was granted to it, it has in its database.
            await LockTable.AskAsync(database, $"DROP OWNED BY {role}");
            await LockTable.AskAsync(database, $"DROP ROLE {role}");
        }
    }

    [Test]
    public async Task Is_made_once_however_many_processes_start_at_once(CancellationToken stop)
    {
        var database = await NewDatabaseAsync(stop);
        var all = Enumerable.Range(0, 50).Select(_ => AdvisoryLocks.Connect(database)).ToList();

        var handles = await Task.WhenAll(all.Select((locks, i) => locks.TryAcquireAsync($"start({i})", stop)));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(handles, Has.None.Null);
            Assert.That(handles.Select(static handle => handle!.FencingToken), Is.Unique.And.All.Positive);
            Assert.That(await VersionAsync(database), Does.EndWith($"Schema version {SchemaSql.Version}"));
        }

        foreach (var locks in all) await locks.DisposeAsync();
        Assert.That(await LockTable.CountLeftAsync(database), Is.Zero);
    }

    [Test]
    public async Task Opens_when_another_process_is_slow_to_make_its_functions(CancellationToken stop)
    {
        var database = await NewDatabaseAsync(stop);
        await using (var first = AdvisoryLocks.Connect(database)) await (await first.TryAcquireAsync("first", stop))!.DisposeAsync();
        await using var locks = AdvisoryLocks.Connect(database);
        await using var source = NpgsqlDataSource.Create(database);
        await using var busy = await source.OpenConnectionAsync(stop);
        await using var transaction = await busy.BeginTransactionAsync(stop);
        await using (var occupy = new NpgsqlCommand("LOCK TABLE pg_catalog.pg_proc IN SHARE MODE", busy)) await occupy.ExecuteNonQueryAsync(stop);

        var handle = locks.TryAcquireAsync("second", stop);
        while (!handle.IsCompleted && await LockTable.AskAsync(database, WaitsFor300Ms) is 0L) stop.ThrowIfCancellationRequested();
        await transaction.CommitAsync(stop);

        Assert.That(await handle, Is.Not.Null);
        await (await handle)!.DisposeAsync();
    }

    [Test]
    public async Task Is_refused_with_the_cure_where_a_role_may_not_make_it(CancellationToken stop)
    {
        var (database, role) = await DatabaseOfAnotherAsync(stop);
        await using var locks = AdvisoryLocks.Connect(Login(database, role));

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("denied", stop));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.Message, Does.Contain("the schema joblocks is missing or incomplete, and this role may not create it").And.Contain("docs/schema.sql").And.Contain("Schema = null"));
            Assert.That(error.NeedsChange, Is.True);
            Assert.That(error.Message, Does.Not.Contain("secret"));
            Assert.That(await LockTable.AskAsync(database, Ours), Is.Zero);
        }
    }

    [Test]
    public async Task Can_be_done_without_by_a_role_that_may_not_make_it(CancellationToken stop)
    {
        var (database, role) = await DatabaseOfAnotherAsync(stop);
        await using var locks = AdvisoryLocks.Connect(Login(database, role), static options => options.Schema = null);

        await using var handle = await locks.TryAcquireAsync("without", stop);

        Assert.That(handle, Is.Not.Null);
        Assert.That(await LockTable.AskAsync(database, Ours), Is.Zero);
    }

    [Test]
    public async Task Gives_no_tokens_to_a_role_that_may_not_use_it_but_locks_all_the_same(CancellationToken stop)
    {
        var (database, role) = await DatabaseOfAnotherAsync(stop);
        await RunDocsAsync(database, stop);
        await using var owner = AdvisoryLocks.Connect(database);
        await using var locks = AdvisoryLocks.Connect(Login(database, role));

        await using var handle = await locks.TryAcquireAsync("no rights", stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(() => handle!.FencingToken, Throws.InvalidOperationException.With.Message.Contains("GRANT"));
            Assert.That(await owner.TryAcquireAsync("no rights", stop), Is.Null);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Gives_tokens_to_a_role_with_the_grants_of_the_docs(CancellationToken stop)
    {
        var (database, role) = await DatabaseOfAnotherAsync(stop);
        await RunDocsAsync(database, stop);
        await GrantAsync(database, "its_name", role);
        await using var locks = AdvisoryLocks.Connect(Login(database, role), static options => options.PrepareSchema = false);

        await using var handle = await locks.TryAcquireAsync("granted", stop);

        Assert.That(handle!.FencingToken, Is.Positive);
        await WrittenDownAsync(database, stop);
    }

    [Test, CancelAfter(60_000)]
    public async Task Lets_a_role_look_with_the_grants_of_the_docs_for_that(CancellationToken stop)
    {
        var (database, role) = await DatabaseOfAnotherAsync(stop);
        await RunDocsAsync(database, stop);
        await GrantAsync(database, "reader_role", role);
        await using var locks = AdvisoryLocks.Connect(database);
        await using var held = await locks.TryAcquireAsync("held", stop);
        await WrittenDownAsync(database, stop);
        await using var looking = AdvisoryLocks.Connect(Login(database, role), static options => options.PrepareSchema = false);

        var page = await looking.Inspector.GetHeldAsync(stop: stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(page.Items.Select(static one => (one.Name, one.Holder.Run)), Is.EqualTo([("held", "code that acquired it by hand")]));
            await Assert.ThatAsync(
                () => looking.Inspector.EndSessionAsync(page.Items[0].Holder.Backend, "ops", stop), Throws.TypeOf<UnauthorizedAccessException>().With.Message.Contains("pg_signal_backend"));
            Assert.That(held!.Lost.IsCancellationRequested, Is.False);
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_degraded_where_its_role_lets_no_run_wait(CancellationToken stop)
    {
        var (database, role) = await DatabaseOfAnotherAsync(stop);
        await RunDocsAsync(database, stop);
        await LockTable.AskAsync(database, $"GRANT USAGE ON SCHEMA joblocks TO {role}; GRANT USAGE ON SEQUENCE joblocks.fence TO {role}");
        var services = new ServiceCollection().AddLogging().AddJobLocks(Login(database, role), static options => options.PrepareSchema = false);
        await using var container = services.AddHealthChecks().AddJobLocks().Services.BuildServiceProvider();

        var report = await container.GetRequiredService<HealthCheckService>().CheckHealthAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(report.Status, Is.EqualTo(HealthStatus.Degraded));
            Assert.That(report.Entries["joblocks"].Description, Does.Contain("keeps the locks, but no run can enter the wait queue").And.Contain("GRANT"));
            Assert.That(report.Entries["joblocks"].Data["sessionOpen"], Is.True);
            Assert.That(report.Entries["joblocks"].Data["locksHeld"], Is.Zero);
        }
    }

    private static async Task WrittenDownAsync(string database, CancellationToken stop)
    {
        while (await LockTable.AskAsync(database, "SELECT count(*) FROM joblocks.holders") is 0L) stop.ThrowIfCancellationRequested();
    }

    [Test]
    public async Task Is_asked_for_and_not_made_where_it_is_not_to_be_prepared(CancellationToken stop)
    {
        var database = await NewDatabaseAsync(stop);
        await using (var locks = AdvisoryLocks.Connect(database, static options => options.PrepareSchema = false))
        {
            var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("by hand", stop));
            Assert.That(error!.Message, Does.Contain("PrepareSchema is false").And.Contain("docs/schema.sql"));
            Assert.That(await LockTable.AskAsync(database, Ours), Is.Zero);
        }

        await RunDocsAsync(database, stop);
        await RunDocsAsync(database, stop);
        await using var next = AdvisoryLocks.Connect(database, static options => options.PrepareSchema = false);
        await using var handle = await next.TryAcquireAsync("by hand", stop);
        Assert.That(handle!.FencingToken, Is.Positive);
    }

    [Test]
    public async Task Is_not_made_where_there_is_to_be_none(CancellationToken stop)
    {
        var database = await NewDatabaseAsync(stop);
        await using var locks = AdvisoryLocks.Connect(database, static options => options.Schema = null);
        await using var handle = await locks.TryAcquireAsync("none", stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(handle, Is.Not.Null);
            Assert.That(await LockTable.AskAsync(database, Ours), Is.Zero);
            Assert.That(await LockTable.AskAsync(database, "SELECT count(*) FROM pg_extension WHERE extname = 'pgcrypto'"), Is.Zero);
        }
    }

    [TestCase("job_locks"), TestCase("Job Locks"), TestCase("a\"b"), TestCase("it's")]
    public async Task Has_the_name_that_it_is_given(string schema, CancellationToken stop)
    {
        var database = await NewDatabaseAsync(stop);
        await using var locks = AdvisoryLocks.Connect(database, options => options.Schema = schema);
        await using var handle = await locks.TryAcquireAsync("named", stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(handle!.FencingToken, Is.Positive);
            Assert.That(await LockTable.AskAsync(database, "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname = $1 AND relname IN ('fence', 'declared_limits')", schema), Is.EqualTo(2));
            Assert.That(await LockTable.AskAsync(database, Ours), Is.Zero);
        }
    }

    [Test]
    public async Task Excludes_one_that_has_another_schema_or_none(CancellationToken stop)
    {
        var database = await NewDatabaseAsync(stop);
        await using var locks = AdvisoryLocks.Connect(database);
        await using var others = AdvisoryLocks.Connect(database, static options => options.Schema = "others");
        await using var none = AdvisoryLocks.Connect(database, static options => options.Schema = null);
        await using var handle = await locks.TryAcquireAsync("same", stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await others.TryAcquireAsync("same", stop), Is.Null);
            Assert.That(await none.TryAcquireAsync("same", stop), Is.Null);
        }
    }

    [Test]
    public async Task Gives_in_SQL_the_key_that_the_program_gives(CancellationToken stop)
    {
        var database = await NewDatabaseAsync(stop);
        await using var locks = AdvisoryLocks.Connect(database);
        await using (await locks.TryAcquireAsync("first", stop))
        {
            // Once the first lock is held, the schema is there.
        }

        if (await LockTable.AskAsync(database, "SELECT to_regprocedure('joblocks.key(text)')::text") is null or DBNull) Assert.Ignore("This PostgreSQL has no pgcrypto.");

        var file = await File.ReadAllTextAsync(Path.Combine(TestContext.CurrentContext.TestDirectory, "Keys", "lock-keys.json"), stop);
        var vectors = JsonSerializer.Deserialize<List<Vector>>(file, JsonSerializerOptions.Web)!.Where(static vector => !vector.Name.Contains('\0', StringComparison.Ordinal)).ToList();
        await using var connection = new NpgsqlConnection(database + ";Pooling=false");
        await connection.OpenAsync(stop);
        await using var ask = new NpgsqlCommand("SELECT array_agg(joblocks.key(name) ORDER BY i) FROM unnest($1) WITH ORDINALITY AS n (name, i)", connection)
        {
            Parameters = { new() { Value = vectors.Select(static vector => vector.Name).ToArray() } },
        };
        var keys = (long[])(await ask.ExecuteScalarAsync(stop))!;

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await LockTable.AskAsync(database, "SELECT joblocks.key('sync(4)')"), Is.EqualTo(-672582401413756830));
            Assert.That(vectors, Has.Count.GreaterThan(35));
            Assert.That(keys, Is.EqualTo(vectors.Select(static vector => vector.Key)));
            Assert.That(keys, Is.EqualTo(vectors.Select(static vector => LockKey.Of(vector.Name).Value)));
        }
    }

    [Test]
    public async Task Lets_SQL_be_refused_by_name(CancellationToken stop)
    {
        var database = await NewDatabaseAsync(stop);
        await using var locks = AdvisoryLocks.Connect(database);
        await using var handle = await locks.TryAcquireAsync("sync(4)", stop);
        if (await LockTable.AskAsync(database, "SELECT to_regprocedure('joblocks.key(text)')::text") is null or DBNull) Assert.Ignore("This PostgreSQL has no pgcrypto.");

        Assert.That(await LockTable.AskAsync(database, "SELECT pg_try_advisory_lock(joblocks.key('sync(4)'))"), Is.False);
    }

    [Test]
    public void Is_what_the_docs_show() => Assert.That(Docs().ReplaceLineEndings("\n").Trim(), Is.EqualTo(SchemaScript.Text.ReplaceLineEndings("\n").Trim()));

    private static string Docs()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder.FullName, "JobLocks.sln"))) folder = folder.Parent!;
        return File.ReadAllText(Path.Combine(folder.FullName, "docs", "schema.sql"));
    }

    private static async Task RunDocsAsync(string database, CancellationToken stop)
    {
        await using var connection = new NpgsqlConnection(database + ";Pooling=false");
        await connection.OpenAsync(stop);
        await using var script = new NpgsqlCommand(Docs(), connection);
        await script.ExecuteNonQueryAsync(stop);
    }

    private static async Task GrantAsync(string database, string of, string role)
    {
        foreach (var grant in SchemaScript.Text.Split('\n').Where(line => line.StartsWith("--     GRANT", StringComparison.Ordinal) && line.Contains(of, StringComparison.Ordinal)))
            await LockTable.AskAsync(database, grant[3..].Replace(of, role, StringComparison.Ordinal));
    }

    private static Task<string> NewDatabaseAsync(CancellationToken stop) => AssemblySetup.Server.CreateDatabaseAsync("schema", stop);

    private static async Task<string> VersionAsync(string database) =>
        (string)(await LockTable.AskAsync(database, "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = 'joblocks'"))!;

    private static string Login(string database, string role) => new NpgsqlConnectionStringBuilder(database) { Username = role, Password = "secret" }.ConnectionString;

    private async Task<(string Database, string Role)> DatabaseOfAnotherAsync(CancellationToken stop)
    {
        var database = await NewDatabaseAsync(stop);
        var role = $"joblocks_{Guid.NewGuid():N}";
        await LockTable.AskAsync(database, $"CREATE ROLE {role} LOGIN PASSWORD 'secret'");
        _roles.Add((database, role));
        return (database, role);
    }
}
