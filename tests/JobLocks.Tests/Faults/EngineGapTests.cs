using JobLocks.Locks;
using JobLocks.Postgres.Session;
using JobLocks.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Npgsql;

namespace JobLocks.Tests.Faults;

/// <summary>Engines that speak the protocol of PostgreSQL and lack a part of it: the host stops with the cure. A schema that was just dropped does not stop it.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class EngineGapTests
{
    private const string Cure = "Give JobLocks the connection string of a PostgreSQL server, or use an engine that can run it";

    private string _database = "";

    [SetUp]
    public async Task CreateDatabase() => _database = await AssemblySetup.Server.CreateDatabaseAsync("gap");

    [TestCase("ALTER FUNCTION pg_catalog.set_config(text, text, boolean) RENAME TO no_config", "42883")]
    [TestCase("ALTER FUNCTION pg_catalog.pg_is_in_recovery() RENAME TO no_recovery", "42883")]
    [TestCase("ALTER FUNCTION pg_catalog.pg_try_advisory_lock_shared(int, int) RENAME TO no_lock", "42883")]
    [TestCase("ALTER VIEW pg_catalog.pg_locks RENAME TO no_locks", "42P01")]
    [TestCase("ALTER VIEW pg_catalog.pg_settings RENAME TO no_settings", "42P01")]
    [TestCase("DROP EXTENSION plpgsql", "42704")]
    public async Task Stops_the_host_where_the_engine_lacks(string change, string code, CancellationToken stop)
    {
        await LockTable.AskAsync(_database, $"SET allow_system_table_mods = on; {change}");

        await StopsTheHostAsync(code, stop);
    }

    [Test]
    public async Task Stops_the_host_where_the_engine_has_no_sequences(CancellationToken stop)
    {
        await LockTable.AskAsync(
            _database,
            """
            CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE feature_not_supported USING MESSAGE = 'CREATE SEQUENCE is not supported'; END$$;
            CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('CREATE SEQUENCE') EXECUTE FUNCTION refuse();
            """);

        await StopsTheHostAsync("0A000: CREATE SEQUENCE is not supported", stop);
    }

    [TestCase("SELECT * FROM \"joblocks\".wait_queue", PostgresErrorCodes.UndefinedTable)]
    [TestCase("SELECT \"joblocks\".key('sync(4)')", PostgresErrorCodes.InvalidSchemaName)]
    [TestCase("CREATE SCHEMA \"joblocks\"; SELECT \"joblocks\".key('sync(4)')", PostgresErrorCodes.UndefinedFunction)]
    [TestCase("CREATE TABLE wait_queue (); ALTER TABLE wait_queue ALTER COLUMN woken SET NOT NULL", PostgresErrorCodes.UndefinedColumn)]
    [TestCase("CREATE TABLE servers (); ALTER TABLE servers ALTER COLUMN since SET NOT NULL", PostgresErrorCodes.UndefinedColumn)]
    [TestCase("CREATE TABLE recent_runs (); ALTER TABLE recent_runs ALTER COLUMN written SET NOT NULL", PostgresErrorCodes.UndefinedColumn)]
    [TestCase("CREATE TABLE samples (); ALTER TABLE samples ALTER COLUMN taken SET NOT NULL", PostgresErrorCodes.UndefinedColumn)]
    public async Task Does_not_take_a_schema_that_was_dropped_for_a_lack_of_the_engine(string sql, string code, CancellationToken stop)
    {
        await using var connection = await Raw.OpenAsync(_database, stop);
        await using var command = new NpgsqlCommand(sql, connection);

        var error = Assert.Throws<PostgresException>(() => EngineGap.Explain(connection, "joblocks", command.ExecuteScalar));

        Assert.That(error!.SqlState, Is.EqualTo(code));
    }

    [Test]
    public async Task Names_the_engine_although_the_failed_transaction_is_open(CancellationToken stop)
    {
        await using var connection = await Raw.OpenAsync(_database, stop);
        await connection.AskAsync("BEGIN", stop);
        await using var command = new NpgsqlCommand("SELECT missing()", connection);

        var error = Assert.Throws<UnusableServerException>(() => EngineGap.Explain(connection, "joblocks", command.ExecuteScalar));

        Assert.That(error!.Message, Does.Contain("(42883: function missing() does not exist; PostgreSQL "));
    }

    private async Task StopsTheHostAsync(string error, CancellationToken stop)
    {
        var builder = Host.CreateApplicationBuilder();
        builder.Services.AddJobLocks(_database);
        using var host = builder.Build();

        var refused = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => host.StartAsync(stop));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(refused!.Message, Does.Contain($"it cannot run a statement that JobLocks needs ({error}").And.Contain("; PostgreSQL ").And.Contain(Cure));
            Assert.That(refused.NeedsChange, Is.True);
        }
    }
}
