using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Postgres;

/// <summary>A role that may create in <c>public</c> has functions, operators and views there that match our calls: none of them runs with our rights.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class ForeignObjectsTests
{
    private const string PublicFirst = "public, pg_catalog";

    private readonly string _role = $"joblocks_{Guid.NewGuid():N}";
    private ShadowObjects _shadows = null!;
    private string _database = "";

    [OneTimeSetUp]
    public async Task ReadStatements()
    {
        var database = await AssemblySetup.Server.CreateDatabaseAsync("words");
        _shadows = await ShadowObjects.OfAsync(database, SqlWords.Of([.. SqlWords.TextsOf(typeof(JobLocksOptions).Assembly), DocsTests.Read("schema.sql")]), onlyCloser: false, CancellationToken.None);
        await TestContext.Out.WriteLineAsync($"{_shadows.Count} statements create shadows.");
        await LockTable.AskAsync(database, $"CREATE ROLE {_role} LOGIN PASSWORD 'secret'");
    }

    [OneTimeTearDown]
    public Task DropRole() => LockTable.AskAsync(AssemblySetup.Server.ConnectionString, $"DROP ROLE {_role}");

    [SetUp]
    public async Task PlantShadows()
    {
        _database = await AssemblySetup.Server.CreateDatabaseAsync("strangers");
        await RunAsync($"GRANT ALL ON DATABASE {Quoted} TO {_role}");
        await TestContext.Out.WriteLineAsync(await _shadows.PlantAsync(_database, CancellationToken.None));
    }

    [TearDown]
    public Task Revoke() => RunAsync($"ALTER ROLE {_role} RESET ALL; DROP OWNED BY {_role}");

    [Test]
    public async Task Run_nothing_with_the_default_path(CancellationToken stop)
    {
        await EveryKindOfWork.DoAsync(AsRole(), stop);

        await NothingWasCalledAsync(stop);
    }

    [Test]
    public async Task Run_nothing_where_the_role_has_their_schema_first(CancellationToken stop)
    {
        await RunAsync($"ALTER ROLE {_role} SET search_path = {PublicFirst}");

        await EveryKindOfWork.DoAsync(AsRole(), stop);

        await NothingWasCalledAsync(stop);
    }

    [Test]
    public async Task Run_nothing_where_the_database_has_their_schema_first(CancellationToken stop)
    {
        await RunAsync($"ALTER DATABASE {Quoted} SET search_path = {PublicFirst}");

        await EveryKindOfWork.DoAsync(AsRole(), stop);

        await NothingWasCalledAsync(stop);
    }

    [TestCase("Search Path=public,pg_catalog"), TestCase("Options=-c search_path=public\\,pg_catalog")]
    public async Task Run_nothing_where_the_connection_string_has_their_schema_first(string setting, CancellationToken stop)
    {
        await EveryKindOfWork.DoAsync($"{AsRole()};{setting}", stop);

        await NothingWasCalledAsync(stop);
    }

    [Test]
    public async Task Run_nothing_of_a_lock_in_a_transaction_of_a_caller_with_their_schema_first(CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(AsRole(), static options => options.Schema = null);
        await using (var caller = NpgsqlDataSource.Create($"{AsRole()};Application Name=caller;Search Path=public,pg_catalog;Server Compatibility Mode=NoTypeLoading;Pooling=false"))
        {
            await using var connection = await caller.OpenConnectionAsync(stop);
            await using var transaction = await connection.BeginTransactionAsync(stop);
            await using var held = await locks.TryAcquireAsync("in a transaction", transaction, stop);
            Assert.That(held, Is.Not.Null);
        }

        await locks.DisposeAsync();
        await NothingWasCalledAsync(stop);
    }

    [TestCase(""), TestCase("Search Path=public,pg_catalog")]
    public async Task Run_nothing_of_the_script_and_of_the_key_in_SQL(string path, CancellationToken stop)
    {
        await using (var person = NpgsqlDataSource.Create($"{AsRole()};Application Name=person;Server Compatibility Mode=NoTypeLoading;Pooling=false;{path}"))
        {
            await using var connection = await person.OpenConnectionAsync(stop);
            foreach (var sql in new[] { DocsTests.Read("schema.sql"), DocsTests.Read("schema.sql") })
            {
                await using var script = new NpgsqlCommand(sql, connection);
                await script.ExecuteNonQueryAsync(stop);
            }

            await using var key = new NpgsqlCommand("SELECT joblocks.key('sync(4)')", connection);
            Assert.That(await key.ExecuteScalarAsync(stop), Is.EqualTo(-672582401413756830));
        }

        await NothingWasCalledAsync(stop);
    }

    [Test]
    public async Task Are_counted_where_something_of_theirs_runs(CancellationToken stop)
    {
        await using (var careless = NpgsqlDataSource.Create($"{AsRole()};Application Name=careless;Server Compatibility Mode=NoTypeLoading;Pooling=false"))
        {
            await using var command = careless.CreateCommand("SELECT obj_description(1::oid, 'pg_class'), to_jsonb(1), 1::bigint & 1, ARRAY(SELECT unnest('{1}'::bigint[]))");
            await command.ExecuteScalarAsync(stop);
        }

        var calls = await ShadowObjects.CallsAsync(_database, stop);
        Assert.That(calls, Has.Some.StartsWith("obj_description").And.Some.StartsWith("to_jsonb").And.Some.StartsWith("unnest"));
    }

    private string Quoted => new NpgsqlCommandBuilder().QuoteIdentifier(new NpgsqlConnectionStringBuilder(_database).Database!);

    private string AsRole() => new NpgsqlConnectionStringBuilder(_database) { Username = _role, Password = "secret" }.ConnectionString;

    private Task<object?> RunAsync(string sql) => LockTable.AskAsync($"{_database};Search Path=pg_catalog", sql);

    private async Task NothingWasCalledAsync(CancellationToken stop) => Assert.That(await ShadowObjects.CallsAsync(_database, stop), Is.Empty);
}
