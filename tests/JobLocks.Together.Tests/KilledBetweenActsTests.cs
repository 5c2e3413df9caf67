using System.Globalization;
using JobLocks.Chaos;
using JobLocks.Testing.Postgres;
using Npgsql;

namespace JobLocks.Together.Tests;

/// <summary>
/// A process is killed between two acts of a run that waits: a trigger stops it where the next act writes. The run comes all the same, in another
/// process, and nothing is left of it.
/// </summary>
[Category("Long")]
[TestFixture(true), TestFixture(false), CancelAfter(150_000)]
public sealed class KilledBetweenActsTests(bool forHangfire)
{
    private const string Name = "a";

    // What is written next, and may be stopped there.
    private const int Parking = 1;
    private const int Telling = 2;
    private const int Starting = 3;
    private const int Leaving = 4;

    private PostgresServer _server = null!;
    private NpgsqlDataSource _database = null!;
    private History _history = null!;
    private Offers _offers = null!;
    private AdvisoryLocks _locks = null!;
    private NpgsqlConnection _gates = null!;
    private ServerProcess? _rescuer;

    private string Gates => $"""
        CREATE FUNCTION chaos.gate() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(7, TG_ARGV[0]::int); RETURN new; END';
        CREATE TRIGGER gate BEFORE UPDATE ON joblocks.wait_queue FOR EACH ROW EXECUTE FUNCTION chaos.gate({Telling});
        CREATE FUNCTION chaos.gate_of_end() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock_shared(7, TG_ARGV[0]::int); RETURN old; END';
        CREATE TRIGGER gate_of_end BEFORE DELETE ON joblocks.wait_queue FOR EACH ROW EXECUTE FUNCTION chaos.gate_of_end({Leaving});
        {(forHangfire
            ? $"""
              CREATE TRIGGER gate BEFORE INSERT ON chaos_hangfire.set FOR EACH ROW EXECUTE FUNCTION chaos.gate({Parking});
              CREATE TRIGGER gate BEFORE INSERT ON chaos_hangfire.jobqueue FOR EACH ROW EXECUTE FUNCTION chaos.gate({Starting});
              """
            : $"""
              CREATE TRIGGER gate BEFORE UPDATE ON chaos_quartz.qrtz_triggers FOR EACH ROW
                  WHEN (old.retry_attempt < 1000000 AND new.retry_attempt >= 1000000) EXECUTE FUNCTION chaos.gate({Parking});
              CREATE TRIGGER gate_of_start BEFORE UPDATE ON chaos_quartz.qrtz_triggers FOR EACH ROW
                  WHEN (old.retry_attempt < 2000000 AND new.retry_attempt >= 2000000) EXECUTE FUNCTION chaos.gate({Starting});
              """)}
        """;

    /// <summary>What its scheduler still has to do for a run that was put off.</summary>
    private string Unfinished => forHangfire ? "SELECT count(*) FROM chaos_hangfire.jobqueue" : "SELECT count(*) FROM chaos_quartz.qrtz_fired_triggers";

    private string NotDone => forHangfire
        ? "SELECT count(*) FROM chaos_hangfire.job WHERE statename <> 'Succeeded'"
        : "SELECT (SELECT count(*) FROM chaos_quartz.qrtz_triggers) + (SELECT count(*) FROM chaos_quartz.qrtz_fired_triggers)";

    [SetUp]
    public async Task Prepare()
    {
        _server = await PostgresServer.StartAsync();
        _database = NpgsqlDataSource.Create(_server.ConnectionString);
        _history = new(_database);
        await _history.PrepareAsync(CancellationToken.None);
        _offers = await Offers.PrepareAsync(_server.ConnectionString, Server.MainApplication, _history, CancellationToken.None);
        _locks = AdvisoryLocks.Connect(_server.ConnectionString);
        _gates = await _database.OpenConnectionAsync();
        await AskAsync(_gates, Gates, CancellationToken.None);
        _rescuer = null;
    }

    [TearDown]
    public async Task Stop()
    {
        await _gates.DisposeAsync();
        if (_rescuer is not null) await _rescuer.DisposeAsync();
        await _locks.DisposeAsync();
        await _offers.DisposeAsync();
        await _database.DisposeAsync();
        await _server.DisposeAsync();
    }

    [Test]
    public async Task Runs_though_its_process_was_killed_after_it_was_enqueued_and_before_it_was_parked(CancellationToken stop)
    {
        var held = await _locks.AcquireAsync(Name, Timeout.InfiniteTimeSpan, stop);
        await CloseAsync(Parking, stop);
        await OfferAsync(stop);
        var victim = await StartAsync("victim", stop);

        await StopsAtAsync(Parking, stop);
        await KillAsync(victim, Parking, stop);
        await held.DisposeAsync();

        await ComesAsync(atMost: 1, stop);
    }

    [Test]
    public async Task Runs_though_its_process_was_killed_after_it_was_parked_and_before_its_entry_was_marked(CancellationToken stop)
    {
        var held = await _locks.AcquireAsync(Name, Timeout.InfiniteTimeSpan, stop);
        await CloseAsync(Telling, stop);
        await OfferAsync(stop);
        var victim = await StartAsync("victim", stop);

        await StopsAtAsync(Telling, stop);
        await KillAsync(victim, Telling, stop);
        await held.DisposeAsync();

        // Hangfire still has the delivery to the killed process: it performs the job once more where that comes back while the job is performed.
        await ComesAsync(atMost: forHangfire ? 2 : 1, stop);
    }

    [Test]
    public async Task Comes_though_the_process_that_was_to_wake_it_was_killed_when_the_lock_was_free(CancellationToken stop)
    {
        // Held by a program that tells nobody when it lets go.
        await using var holder = await _database.OpenConnectionAsync(stop);
        await AskAsync(holder, $"SELECT pg_advisory_lock({LockKey.Of(Name).Value.ToString(CultureInfo.InvariantCulture)})", stop);
        await OfferAsync(stop);
        var victim = await StartAsync("victim", stop);
        await ParkedAsync(stop);
        await CloseAsync(Telling, stop);

        await AskAsync(holder, "SELECT pg_advisory_unlock_all()", stop);
        await StopsAtAsync(Telling, stop);
        await KillAsync(victim, Telling, stop);

        await ComesAsync(atMost: 1, stop);
    }

    [Test]
    public async Task Runs_though_its_process_was_killed_after_it_was_woken_and_before_its_store_knew(CancellationToken stop)
    {
        var held = await _locks.AcquireAsync(Name, Timeout.InfiniteTimeSpan, stop);
        await OfferAsync(stop);
        var victim = await StartAsync("victim", stop);
        await ParkedAsync(stop);
        await CloseAsync(Starting, stop);

        await held.DisposeAsync();
        await StopsAtAsync(Starting, stop);
        var woken = await CountAsync("SELECT count(*) FROM joblocks.wait_queue WHERE woken IS NOT NULL", stop);
        await KillAsync(victim, Starting, stop);

        await ComesAsync(atMost: 1, stop);
        Assert.That(woken, Is.EqualTo(1));
    }

    [Test]
    public async Task Comes_though_its_process_was_killed_when_its_lock_was_granted_and_it_had_not_begun(CancellationToken stop)
    {
        var held = await _locks.AcquireAsync(Name, Timeout.InfiniteTimeSpan, stop);
        await OfferAsync(stop);
        var victim = await StartAsync("victim", stop);
        await ParkedAsync(stop);
        await CloseAsync(Leaving, stop);

        await held.DisposeAsync();
        // It leaves the line with the grant, before its job is entered.
        await StopsAtAsync(Leaving, stop);
        await KillAsync(victim, Leaving, stop);

        await ComesAsync(atMost: 1, stop);
    }

    private Task OfferAsync(CancellationToken stop) => _offers.OfferAsync([new(1, Name, "", Kind.Alone, forHangfire, 1)], stop);

    private Task<ServerProcess> StartAsync(string name, CancellationToken stop) => ServerProcess.StartAsync(name, _server.ConnectionString, Server.MainApplication, stop);

    /// <summary>From now on nobody gets past it.</summary>
    private Task CloseAsync(int gate, CancellationToken stop) => AskAsync(_gates, string.Create(CultureInfo.InvariantCulture, $"SELECT pg_advisory_lock(7, {gate})"), stop);

    private Task StopsAtAsync(int gate, CancellationToken stop) =>
        UntilAsync(string.Create(CultureInfo.InvariantCulture, $"SELECT least(count(*), 1) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7 AND objid = {gate} AND NOT granted"), 1, stop);

    /// <summary>Kills the process and what it had begun to write, and has another one go on.</summary>
    private async Task KillAsync(ServerProcess victim, int gate, CancellationToken stop)
    {
        await victim.KillAsync();
        await AskAsync(_gates, "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7 AND NOT granted", stop);
        await UntilAsync("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7 AND NOT granted", 0, stop);
        await AskAsync(_gates, string.Create(CultureInfo.InvariantCulture, $"SELECT pg_advisory_unlock(7, {gate})"), stop);
        _rescuer = await StartAsync("rescuer", stop);
    }

    /// <summary>It is parked, and its scheduler is done with what led to that.</summary>
    private async Task ParkedAsync(CancellationToken stop)
    {
        await UntilAsync("SELECT count(*) FROM joblocks.wait_queue WHERE parked", 1, stop);
        await UntilAsync(Unfinished, 0, stop);
    }

    private async Task ComesAsync(int atMost, CancellationToken stop)
    {
        await UntilAsync("SELECT least(count(*), 1) FROM chaos.events WHERE act = 1", 1, stop);
        await UntilAsync("SELECT count(*) FROM joblocks.wait_queue", 0, stop);
        await UntilAsync("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1", 0, stop);
        await UntilAsync(NotDone, 0, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await CountAsync("SELECT count(*) FROM chaos.events WHERE act = 1 AND process = 'rescuer'", stop), Is.InRange(1, atMost));
            Assert.That(await CountAsync("SELECT count(*) FROM chaos.events WHERE process NOT IN ('rescuer', '')", stop), Is.Zero);
        }
    }

    private static async Task AskAsync(NpgsqlConnection connection, string sql, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(stop);
    }

    private Task<long> CountAsync(string sql, CancellationToken stop) => _history.AskAsync<long>(sql, stop);

    /// <summary>The test's own limit ends it.</summary>
    private async Task UntilAsync(string sql, long wanted, CancellationToken stop)
    {
        while (await CountAsync(sql, stop) != wanted) await Task.Delay(TimeSpan.FromMilliseconds(20), stop);
    }
}
