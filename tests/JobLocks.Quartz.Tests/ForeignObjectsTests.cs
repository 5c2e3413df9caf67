using JobLocks.Quartz.Entering;
using JobLocks.Quartz.Tests.Support;
using JobLocks.Testing.Postgres;
using Npgsql;

namespace JobLocks.Quartz.Tests;

/// <summary>A role that may create in <c>public</c> has functions, operators, views and types there that match our calls on Quartz's connections: none of them runs.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class ForeignObjectsTests : QuartzFixture
{
    // A connection ends at once, and so its calls are counted. The driver's own questions about types would run through shadows for minutes.
    private const string Settings = "Application Name=store;Pooling=false;Server Compatibility Mode=NoTypeLoading";

    private string[] _statements = [];
    private ShadowObjects _shadows = null!;

    [OneTimeSetUp]
    public async Task ReadStatements()
    {
        string[] texts = [.. SqlWords.TextsOf(typeof(JobLockListener).Assembly)];
        _statements = Array.ConvertAll(texts, static text => text.Replace("{0}", "QRTZ_", StringComparison.Ordinal));
        _shadows = await ShadowObjects.OfAsync(Database, SqlWords.Of(texts), onlyCloser: false, CancellationToken.None);
    }

    [TestCase(""), TestCase(";Search Path=public,pg_catalog")]
    public async Task Run_nothing_of_the_statements_on_connections_of_the_job_store(string path, CancellationToken stop)
    {
        var database = await DatabaseWithStoreAsync();
        await TestContext.Out.WriteLineAsync(await _shadows.PlantAsync(database, stop, _statements));
        using var sent = new SentStatements(new NpgsqlConnectionStringBuilder(database).Database!);

        await WaitAndWakeAsync($"{database};{Settings}{path}");
        await WaitAndWakeAsync($"{await RestrictedAsync(database)};{Settings}{path}");

        using (Assert.EnterMultipleScope())
        {
            Assert.That(_statements, Is.Not.Empty.And.SubsetOf(sent.Texts));
            Assert.That(await ShadowObjects.CallsAsync(database, stop), Is.Empty);
        }
    }

    /// <summary>A run waits for a lock, and another node that shares the store runs it.</summary>
    private async Task WaitAndWakeAsync(string store)
    {
        var others = await OthersHoldAsync();
        var first = await StartNodeAsync(Store.Ado, settings => settings with { StoreDatabase = store });
        await first.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(1);
        await EndAsync(first);
        var second = await StartNodeAsync(Store.Ado, settings => settings with { StoreDatabase = store });
        await others.DisposeAsync();

        await Scene.NextRunAsync();
        await LineEndsAsync();
        await second.IsIdleAsync();
        await EndAsync(second);
    }

    /// <summary>A database in which Quartz has made its tables before somebody else came.</summary>
    private async Task<string> DatabaseWithStoreAsync()
    {
        var database = await AssemblySetup.Server.CreateDatabaseAsync(nameof(ForeignObjectsTests));
        await using var first = await Node.StartAsync(new(Database, "prepare") { Store = Store.Ado, IsStarted = false, StoreDatabase = $"{database};Pooling=false" });
        return database;
    }

    /// <summary>The same database for a role that may not read the number of the cluster.</summary>
    private static async Task<string> RestrictedAsync(string database)
    {
        var role = $"limited_{Guid.NewGuid():N}";
        await using var source = NpgsqlDataSource.Create($"{database};Search Path=pg_catalog;Pooling=false");
        await using var command = source.CreateCommand(
            $"""
            REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC;
            CREATE ROLE {role} LOGIN PASSWORD 'limited';
            GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};
            GRANT ALL ON SCHEMA public TO {role}
            """);
        await command.ExecuteNonQueryAsync();
        return new NpgsqlConnectionStringBuilder(database) { Username = role, Password = "limited" }.ConnectionString;
    }
}
