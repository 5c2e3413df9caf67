using Hangfire;
using Hangfire.PostgreSql;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;
using Npgsql;

namespace JobLocks.Hangfire.Tests;

/// <summary>A storage keeps its name in the wait queue whatever is done to it, and a copy has another one.</summary>
[TestFixture]
public sealed class StorageNameTests : RealServers
{
    private const string Truncate =
        "TRUNCATE hangfire.job, hangfire.state, hangfire.jobqueue, hangfire.jobparameter, hangfire.set, hangfire.hash, hangfire.list, hangfire.counter CASCADE";

    [Test, CancelAfter(120_000)]
    public async Task Keeps_its_name_when_its_tables_are_truncated_under_a_running_process(CancellationToken stop)
    {
        var stage = NewStage();
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        await using var held = await other.TryAcquireAsync(stage.LockName, stop);
        await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop);
        var before = await Servers.Locks.AskAsync($"SELECT store FROM joblocks.wait_queue WHERE name = '{stage.LockName}'");

        await Servers.Locks.RunAsync(Truncate);
        while (await Servers.Locks.AskAsync("SELECT value FROM hangfire.hash WHERE key = 'joblocks'") is null) await Task.Delay(20, stop);
        var young = HangfireRuns.Of(Servers.Add(new() { UsesJobLocks = false }).Storage).Identify();

        Assert.That(young, Is.EqualTo(before));
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_skipped_for_no_run_that_was_deleted_and_enqueued_anew(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        var held = await other.TryAcquireAsync(stage.LockName, stop);
        var waiting = await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.RunOrJoin(stage.Id, 1)), stop);

        Servers.Client.Delete(waiting);
        var anew = await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.RunOrJoin(stage.Id, 1)), stop);
        await held!.DisposeAsync();

        await Servers.States.NextAsync<SucceededState>(anew, stop);
        Assert.That(stage.Runs, Is.EqualTo(1));
    }

    [Test, CancelAfter(60_000)]
    public async Task Is_another_storage_when_a_copy_is_restored_into_another_database(CancellationToken stop)
    {
        var database = await AssemblySetup.Server.CreateDatabaseAsync($"{nameof(StorageNameTests)}_original", stop);
        await using var original = new HangfireProcess("server-0", database, new() { UsesJobLocks = false }, new AnnouncedStates());
        var name = HangfireRuns.Of(original.Storage).Identify();
        NpgsqlConnection.ClearAllPools();
        var copied = new NpgsqlConnectionStringBuilder(database);
        copied.Database += "_copy";
        await Servers.Locks.RunAsync($"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{new NpgsqlConnectionStringBuilder(database).Database}'");
        await Servers.Locks.RunAsync($"CREATE DATABASE \"{copied.Database}\" TEMPLATE \"{new NpgsqlConnectionStringBuilder(database).Database}\"");

        await using var copy = new HangfireProcess("server-1", copied.ConnectionString, new() { UsesJobLocks = false }, new AnnouncedStates());

        Assert.That(HangfireRuns.Of(copy.Storage).Identify(), Is.Not.EqualTo(name));
    }

    [Test]
    public void Is_one_storage_whether_its_connections_come_from_a_string_or_from_an_own_factory() =>
        Assert.That(NameOf(Servers.Database), Is.EqualTo(HangfireRuns.Of(Servers[0].Storage).Identify()));

    [Test]
    public async Task Is_one_storage_whether_or_not_the_connection_string_names_the_database()
    {
        // Npgsql takes the name of the user then.
        var app = $"app_{Guid.NewGuid():N}";
        await Servers.Locks.RunAsync($"CREATE ROLE {app} LOGIN SUPERUSER PASSWORD 'app'");
        await Servers.Locks.RunAsync($"CREATE DATABASE {app} OWNER {app}");
        var named = new NpgsqlConnectionStringBuilder(Servers.Database) { Username = app, Password = "app", Database = app };
        var unnamed = new NpgsqlConnectionStringBuilder(named.ConnectionString);
        unnamed.Remove("Database");

        await using var one = new HangfireProcess("server-0", named.ConnectionString, new() { UsesJobLocks = false }, new AnnouncedStates());
        await using var two = new HangfireProcess("server-1", unnamed.ConnectionString, new() { UsesJobLocks = false }, new AnnouncedStates());

        Assert.That(HangfireRuns.Of(two.Storage).Identify(), Is.EqualTo(HangfireRuns.Of(one.Storage).Identify()));
    }

    [Test]
    public async Task Is_one_storage_for_a_role_that_may_not_read_the_number_of_the_cluster([Values] bool comesFirst)
    {
        var database = await NewDatabaseAsync($"unread_{comesFirst}");
        var table = new LockTable(database);
        new PostgreSqlStorage(new Factory(database), new()).GetConnection().Dispose();
        var app = $"app_{Guid.NewGuid():N}";
        await table.RunAsync($"CREATE ROLE {app} LOGIN PASSWORD 'app'");
        await table.RunAsync($"REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC; GRANT USAGE ON SCHEMA hangfire TO {app}; GRANT ALL ON ALL TABLES IN SCHEMA hangfire TO {app}; GRANT ALL ON ALL SEQUENCES IN SCHEMA hangfire TO {app}");
        var restricted = new NpgsqlConnectionStringBuilder(database) { Username = app, Password = "app" }.ConnectionString;
        var options = new PostgreSqlStorageOptions { PrepareSchemaIfNecessary = false };

        var first = NameOf(comesFirst ? restricted : database, options);
        var second = NameOf(comesFirst ? database : restricted, options);

        Assert.That((second, NameOf(restricted, options)), Is.EqualTo((first, first)));
    }

    [Test]
    public async Task Keeps_its_name_when_its_database_is_renamed()
    {
        var database = await NewDatabaseAsync("renamed");
        var name = NameOf(database);

        var renamed = await RenameAsync(database, "renamed_now");

        Assert.That(NameOf(renamed), Is.EqualTo(name));
    }

    [Test]
    public async Task Keeps_its_name_when_its_schema_is_renamed()
    {
        var database = await NewDatabaseAsync("schema");
        var name = NameOf(database);

        var table = new LockTable(database);
        await table.RunAsync("ALTER SCHEMA hangfire RENAME TO jobs");

        Assert.That(NameOf(database, new() { SchemaName = "jobs" }), Is.EqualTo(name));
    }

    [Test]
    public async Task Keeps_its_name_when_its_database_is_dropped_and_restored_under_its_name()
    {
        var database = await NewDatabaseAsync("restored");
        var name = NameOf(database);
        var dump = await CopyAsync(database, "restored_dump");

        await Servers.Locks.RunAsync($"DROP DATABASE {Quoted(database)} WITH (FORCE)");
        await Servers.Locks.RunAsync($"CREATE DATABASE {Quoted(database)} TEMPLATE {Quoted(dump)}");

        Assert.That(NameOf(database), Is.EqualTo(name));
    }

    [Test]
    public async Task Is_another_storage_when_a_copy_is_restored_and_its_connections_come_from_an_own_factory()
    {
        var database = await NewDatabaseAsync("copied");
        var name = NameOf(database);

        var copy = NameOf(await CopyAsync(database, "copied_copy"));

        Assert.That((copy, NameOf(database)), Is.EqualTo((copy, name)));
        Assert.That(copy, Is.Not.EqualTo(name));
    }

    [Test]
    public async Task Is_another_storage_when_a_copy_takes_the_name_of_a_database_that_was_renamed()
    {
        var database = await NewDatabaseAsync("replaced");
        var name = NameOf(database);
        var original = await RenameAsync(database, "replaced_before");

        await Servers.Locks.RunAsync($"CREATE DATABASE {Quoted(database)} TEMPLATE {Quoted(original)}");

        using (Assert.EnterMultipleScope())
        {
            Assert.That(NameOf(database), Is.Not.EqualTo(name));
            Assert.That(NameOf(original), Is.EqualTo(name));
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Takes_over_its_runs_under_a_name_of_earlier_versions_that_no_process_serves(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        var held = await other.TryAcquireAsync(stage.LockName, stop);
        var waiting = await Servers.ParkedAsync(Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id)), stop);
        var name = HangfireRuns.Of(Servers[0].Storage).Identify();
        // As from a connection string that named no database.
        var before = $"{name[..name.IndexOf(" in ", StringComparison.Ordinal)]} in .hangfire";
        var place = await Servers.Locks.AskAsync($"UPDATE joblocks.wait_queue SET store = '{before}' WHERE name = '{stage.LockName}' RETURNING entry");

        var renamed = await Patience.UntilAsync(
            () => Servers.Locks.AskAsync($"SELECT count(*) FROM joblocks.wait_queue WHERE entry = {place} AND store = '{name}'"), static found => found is 1L, stop);
        await held!.DisposeAsync();

        await Servers.States.NextAsync<SucceededState>(waiting, stop);
        Assert.That((renamed, stage.Runs), Is.EqualTo((1L, 1)));
    }

    private static string NameOf(string database, PostgreSqlStorageOptions? options = null) =>
        HangfireRuns.Of(new PostgreSqlStorage(new Factory(database), options ?? new())).Identify();

    private static string Quoted(string database) => $"\"{new NpgsqlConnectionStringBuilder(database).Database}\"";

    private static async Task<string> NewDatabaseAsync(string name) =>
        new NpgsqlConnectionStringBuilder(await AssemblySetup.Server.CreateDatabaseAsync($"{nameof(StorageNameTests)}_{name}")) { Pooling = false }.ConnectionString;

    private async Task<string> RenameAsync(string database, string name)
    {
        var renamed = new NpgsqlConnectionStringBuilder(database) { Database = $"{nameof(StorageNameTests)}_{name}" }.ConnectionString;
        await Servers.Locks.RunAsync($"ALTER DATABASE {Quoted(database)} RENAME TO {Quoted(renamed)}");
        return renamed;
    }

    private async Task<string> CopyAsync(string database, string name)
    {
        var copy = new NpgsqlConnectionStringBuilder(database) { Database = $"{nameof(StorageNameTests)}_{name}" }.ConnectionString;
        await Servers.Locks.RunAsync($"CREATE DATABASE {Quoted(copy)} TEMPLATE {Quoted(database)}");
        return copy;
    }

    /// <summary>A connection factory as an application writes one.</summary>
    private sealed class Factory(string database) : IConnectionFactory
    {
        public NpgsqlConnection GetOrCreateConnection() => new(database);
    }
}
