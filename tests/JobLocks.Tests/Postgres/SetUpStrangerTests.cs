using JobLocks.Keys;
using JobLocks.Postgres.Schema;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Postgres;

/// <summary>A role that may only connect holds the lock of the set-up: the schema is made all the same.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class SetUpStrangerTests
{
    private string _database = "";
    private Stranger _stranger = null!;

    [SetUp]
    public async Task Connect()
    {
        _database = await AssemblySetup.Server.CreateDatabaseAsync("set-up");
        _stranger = await Stranger.ConnectAsync(_database, CancellationToken.None);
    }

    [TearDown]
    public async Task Disconnect() => await _stranger.DisposeAsync();

    [Test]
    public async Task Is_made_once_by_several_processes_and_the_log_names_who_was_in_the_way(CancellationToken stop)
    {
        await _stranger.TakeAsync(InternalKeys.SchemaSetUp, "0", stop);
        using var log = new LogLines();
        var begun = TimeProvider.System.GetTimestamp();

        await Task.WhenAll(Enumerable.Range(0, 3).Select(async _ =>
        {
            await using var locks = AdvisoryLocks.Connect(_database, loggers: log);
            await locks.EnsureSessionAsync(stop);
        }));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(TimeProvider.System.GetElapsedTime(begun), Is.LessThan(TimeSpan.FromSeconds(20)));
            Assert.That(log.Text, Does.Contain(_stranger.Role).And.Contain("the application reports").IgnoreCase.And.Contain($"SELECT pg_terminate_backend({_stranger.Backend})"));
            Assert.That(log.Text.Split('\n').Count(static line => line.Contains("is set up, version", StringComparison.Ordinal)), Is.EqualTo(1));
        }
    }

    [Test]
    public async Task Is_made_where_the_stranger_waits_for_another_lock_meanwhile(CancellationToken stop)
    {
        await using var other = await Raw.OpenAsync(_database, stop);
        await other.AskAsync("SELECT pg_advisory_lock(42)", stop);
        await _stranger.TakeAsync(InternalKeys.SchemaSetUp, "0", stop);
        var waits = _stranger.Session.AskAsync("SELECT pg_advisory_lock(42)", stop);
        using var log = new LogLines();
        await using var locks = AdvisoryLocks.Connect(_database, loggers: log);

        await locks.EnsureSessionAsync(stop);

        await other.AskAsync("SELECT pg_advisory_unlock(42)", stop);
        await waits;
        Assert.That(log.Text, Does.Contain(_stranger.Role).And.Contain($"SELECT pg_terminate_backend({_stranger.Backend})"));
    }

    [Test]
    public async Task Is_waited_for_while_another_process_waits_for_a_table(CancellationToken stop)
    {
        await using (var first = AdvisoryLocks.Connect(_database)) await first.EnsureSessionAsync(stop);
        await LockTable.AskAsync(_database, "COMMENT ON SCHEMA joblocks IS 'Schema version 7'");
        await using var reader = await Raw.OpenAsync(_database, stop);
        await reader.AskAsync("BEGIN; SELECT FROM joblocks.wait_queue", stop);
        using var log = new LogLines();
        await using var one = AdvisoryLocks.Connect(_database, loggers: log);
        await using var two = AdvisoryLocks.Connect(_database, loggers: log);
        var upgrades = Task.WhenAll(one.EnsureSessionAsync(stop), two.EnsureSessionAsync(stop));
        while (await LockTable.AskAsync(_database, "SELECT coalesce(max(now() - waitstart), '0') > interval '12 s' FROM pg_locks WHERE relation = 'joblocks.wait_queue'::regclass AND NOT granted") is not true)
            stop.ThrowIfCancellationRequested();

        await reader.AskAsync("COMMIT", stop);
        await upgrades;

        Assert.That(log.Text, Does.Not.Contain("goes on under another internal lock"));
    }

    [Test]
    public async Task Has_a_script_of_which_the_number_may_be_changed(CancellationToken stop)
    {
        await _stranger.TakeAsync(InternalKeys.SchemaSetUp, "0", stop);
        await using var connection = await Raw.OpenAsync(_database, stop);

        await using var script = new NpgsqlCommand(SchemaScript.Text.Replace("(1246524259, 0)", "(1246524259, 1)", StringComparison.Ordinal), connection);
        await script.ExecuteNonQueryAsync(stop);

        Assert.That(await LockTable.AskAsync(_database, "SELECT to_regclass('joblocks.holders') IS NOT NULL"), Is.True);
    }
}
