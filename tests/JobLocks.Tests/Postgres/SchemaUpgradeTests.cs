using JobLocks.Postgres.Schema;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Postgres;

/// <summary>A new version comes while processes of the one before it are at work.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class SchemaUpgradeTests
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

    [Test]
    public async Task Keeps_what_a_process_of_version_seven_has_written_down_and_names_the_role_of_the_next_request(CancellationToken stop)
    {
        var database = await AssemblySetup.Server.CreateDatabaseAsync("upgrade", stop);
        await using var older = AdvisoryLocks.Connect(database);
        await using var held = (await older.TryAcquireAsync("held", stop))!;
        while (await LockTable.AskAsync(database, "SELECT count(*) FROM joblocks.held") is 0L) stop.ThrowIfCancellationRequested();
        await LockTable.AskAsync(database, BackToSeven);

        await using var newer = AdvisoryLocks.Connect(database);
        await TakeAsync(newer, stop);
        var lost = held.WhenLost();
        await LockTable.AskAsync(database, "UPDATE joblocks.held SET asked = 'Ann'");
        await lost.WaitAsync(stop);

        Assert.That(held.LostReason, Does.Contain($"Ann (database role {new NpgsqlConnectionStringBuilder(database).Username})"));
    }

    [Test]
    public async Task Waits_for_those_who_use_the_line_and_stands_in_nobodys_way(CancellationToken stop)
    {
        var database = await AssemblySetup.Server.CreateDatabaseAsync("upgrade", stop);
        await using (var first = AdvisoryLocks.Connect(database)) await TakeAsync(first, stop);
        await LockTable.AskAsync(database, BackToFive);
        await using var older = new NpgsqlConnection(database + ";Pooling=false");
        await older.OpenAsync(stop);
        await using var atWork = await older.BeginTransactionAsync(stop);
        await RunAsync(older, "SELECT FROM joblocks.line", stop);

        await using var newer = AdvisoryLocks.Connect(database);
        var upgrade = TakeAsync(newer, stop);
        while (await LockTable.AskAsync(database, "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'joblocks.line'::regclass") is 0L) stop.ThrowIfCancellationRequested();
        await RunAsync(older, "DELETE FROM joblocks.line WHERE place = 0", stop);
        await atWork.CommitAsync(stop);
        await upgrade;

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await LockTable.AskAsync(database, "SELECT obj_description('joblocks'::regnamespace, 'pg_namespace')"), Does.EndWith($"Schema version {SchemaSql.Version}"));
            Assert.That(await LockTable.AskAsync(database, "SELECT to_regclass('joblocks.line_order') IS NOT NULL AND to_regclass('joblocks.line_key') IS NULL"), Is.True);
        }
    }

    private static async Task TakeAsync(AdvisoryLocks locks, CancellationToken stop) => await (await locks.TryAcquireAsync("proof", stop))!.DisposeAsync();

    private static async Task RunAsync(NpgsqlConnection connection, string sql, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(stop);
    }
}
