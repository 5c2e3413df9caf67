using System.Diagnostics;
using JobLocks.Testing.Postgres;
using Npgsql;

namespace JobLocks.Samples.Tests;

[Category("Long")]
[TestFixture]
public sealed class ClientSyncTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);
    private static readonly TimeSpan Glance = TimeSpan.FromMilliseconds(50);

    private PostgresServer _server = null!;
    private string _connectionString = "";
    private NpgsqlDataSource _database = null!;

    [OneTimeSetUp]
    public async Task StartServer() => _server = await PostgresServer.StartAsync();

    [OneTimeTearDown]
    public async Task StopServer() => await _server.DisposeAsync();

    [SetUp]
    public async Task CreateDatabase()
    {
        _connectionString = await _server.CreateDatabaseAsync("sample");
        _database = NpgsqlDataSource.Create(_connectionString);
    }

    [TearDown]
    public async Task Leaves_no_lock_behind()
    {
        var left = await AskAsync("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())");
        await _database.DisposeAsync();

        Assert.That(left, Is.Zero);
    }

    [TestCase("wait"), TestCase("reschedule"), TestCase("skip"), TestCase("fail"), CancelAfter(300_000)]
    public async Task Imports_every_report_once(string conflict, CancellationToken stop)
    {
        using var sample = SampleRun.Start(_connectionString, "--feed", Feeds.Small(), "--rounds", "2", "--conflict", conflict);

        var (exitCode, output, _) = await sample.EndAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(exitCode, Is.Zero);
            Assert.That(output, Does.Contain("1,200 of 1,200 reports imported, 0 duplicates, 0 overlaps"));
            Assert.That(await AskAsync("SELECT count(*) FROM strike_reports"), Is.EqualTo(1200));
            // Beside these, a run may be put off whose holder was gone before it could be named.
            Assert.That(await AskAsync("SELECT count(*) FROM client_sync_refusals WHERE reason LIKE $1", Word(conflict) + "%"), Is.Positive);
        }
    }

    [Test, CancelAfter(300_000)]
    public async Task Runs_everything_that_it_put_off(CancellationToken stop)
    {
        using var sample = SampleRun.Start(_connectionString, "--feed", Feeds.Small(), "--rounds", "2");

        await sample.EndAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await AskAsync("SELECT count(*) FROM client_sync_runs WHERE scheduler = 'Hangfire'"), Is.EqualTo(4 * 2));
            Assert.That(await AskAsync("SELECT count(*) FROM client_sync_runs WHERE scheduler = 'Quartz'"), Is.EqualTo(4 * 2));
        }
    }

    [Test, CancelAfter(300_000)]
    public async Task Shows_the_damage_without_locks(CancellationToken stop)
    {
        using var sample = SampleRun.Start(_connectionString, "--feed", Feeds.Small(), "--without-locks");

        var (exitCode, output, _) = await sample.EndAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(exitCode, Is.Zero);
            Assert.That(output, Does.Match(@"1,200 of 1,200 reports imported, [1-9][\d,]* duplicates, [1-9][\d,]* overlaps"));
            Assert.That(await AskAsync("SELECT count(*) FROM strike_reports"), Is.GreaterThan(1200));
        }
    }

    [Test, CancelAfter(300_000)]
    public async Task Loses_and_repeats_nothing_when_a_server_is_killed(CancellationToken stop)
    {
        using var sample = SampleRun.Start(_connectionString, "--rounds", "2");
        var servers = await sample.Servers.WaitAsync(Patience, stop);
        await UntilAsync("SELECT count(*) > 500 FROM strike_reports", stop);

        using (var server = Process.GetProcessById(servers[0])) server.Kill();

        var (exitCode, output, _) = await sample.EndAsync(stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(exitCode, Is.Zero);
            Assert.That(output, Does.Contain("10,000 of 10,000 reports imported, 0 duplicates, 0 overlaps"));
        }
    }

    [Test, CancelAfter(300_000)]
    public async Task Stays_clean_while_every_lock_session_is_ended_each_second(CancellationToken stop)
    {
        using var sample = SampleRun.Start(_connectionString, "--rounds", "2");
        await sample.Servers.WaitAsync(Patience, stop);
        await UntilAsync("SELECT count(*) > 500 FROM strike_reports", stop);

        var ended = 0L;
        for (var second = 0; second < 20; second++)
        {
            ended += (long)(await AskAsync("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'ClientSync%' AND datname = current_database()"))!;
            await Task.Delay(TimeSpan.FromSeconds(1), stop);
        }

        var (exitCode, output, _) = await sample.EndAsync(stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(ended, Is.GreaterThan(5));
            Assert.That(exitCode, Is.Zero);
            Assert.That(output, Does.Contain("10,000 of 10,000 reports imported, 0 duplicates, 0 overlaps"));
        }
    }

    [Test, CancelAfter(300_000)]
    public async Task Starts_no_run_of_a_client_whose_lock_another_program_holds(CancellationToken stop)
    {
        await using var other = await _database.OpenConnectionAsync(stop);
        // What Python's hashlib and struct give for sync(4).
        await AskAsync(other, "SELECT pg_advisory_lock(-672582401413756830)");
        using var sample = SampleRun.Start(_connectionString, "--feed", Feeds.Small(), "--rounds", "2");
        await sample.Servers.WaitAsync(Patience, stop);
        await UntilAsync("SELECT count(*) > 3 FROM client_sync_refusals WHERE client_id = 4", stop);
        await UntilAsync("SELECT count(*) = 12 FROM client_sync_runs WHERE client_id <> 4", stop);

        var released = await AskAsync(other, "SELECT clock_timestamp()");
        await AskAsync(other, "SELECT pg_advisory_unlock(-672582401413756830)");

        var (exitCode, output, _) = await sample.EndAsync(stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(exitCode, Is.Zero);
            Assert.That(output, Does.Contain("1,200 of 1,200 reports imported, 0 duplicates, 0 overlaps"));
            Assert.That(await AskAsync("SELECT min(started_at) > $1 FROM client_sync_runs WHERE client_id = 4", released!), Is.True);
        }
    }

    private static IEnumerable<TestCaseData> BadFeeds() =>
    [
        Bad("nowhere.csv", "nowhere.csv: there is no such file", "a missing file"),
        Bad(Feeds.Write(), "feed.csv, line 1: the file is empty", "an empty file"),
        Bad(Feeds.Write(Feeds.Header), "feed.csv, line 1: the file has no reports", "no reports"),
        Bad(Feeds.Write("report_id,client_id", "1,1"), "feed.csv, line 1: the column client is missing", "a missing column"),
        Bad(Feeds.Write(Feeds.Header, Feeds.Report(1, 1), "2,x" + Feeds.Report(2, 1)[3..]), "feed.csv, line 3: client_id is \"x\", which is no whole number", "a broken number"),
        Bad(Feeds.Write(Feeds.Header, Feeds.Report(1, 1), "2,1,too,few"), "feed.csv, line 3: the line has not as many fields as the header", "a short line"),
        Bad(Feeds.Write(Feeds.Header, Feeds.Report(1, 1).Replace("1990-01-08", "soon", StringComparison.Ordinal)), "feed.csv, line 2: flight_date is \"soon\", which is no date such as 1990-01-08", "a broken date"),
        Bad(Feeds.Write(Feeds.Header, Feeds.Report(1, 1).Replace("B-737", "\"B\"737", StringComparison.Ordinal)), "feed.csv, line 2: a quote stands where none may stand", "a broken quote"),
        Bad(Feeds.Write(Feeds.Header, Feeds.Report(0, 1)), "feed.csv, line 2: report_id is \"0\", which is below 1", "a report that no watermark reaches"),
        Bad(Feeds.Write(Feeds.Header, Feeds.Report(1, 1), Feeds.Report(2, 1).Replace("Gull", "G\0ull", StringComparison.Ordinal)), "feed.csv, line 3: the line is no UTF-8 text", "a broken text"),
        Bad(Feeds.Write(Feeds.Header, Feeds.Report(1, 1), Feeds.Report(1, 2)), "feed.csv, line 3: report 1 stands in the file twice", "a report twice"),
    ];

    [TestCaseSource(nameof(BadFeeds)), CancelAfter(60_000)]
    public async Task Refuses_a_feed_that_cannot_be_used_before_anything_is_imported(string file, string expected, CancellationToken stop)
    {
        using var sample = SampleRun.Start(_connectionString, "--feed", file);

        var (exitCode, _, errors) = await sample.EndAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(exitCode, Is.EqualTo(2));
            Assert.That(errors.TrimEnd(), Does.EndWith(expected).And.Not.Contain("\n"));
            Assert.That(await AskAsync("SELECT to_regclass('strike_reports') IS NULL"), Is.True);
        }
    }

    [TestCase("--rounds", "0"), TestCase("--servers", "99"), TestCase("--conflict", "pray"), TestCase("--sideways", "1"), CancelAfter(60_000)]
    public async Task Refuses_an_option_that_cannot_be_used(string option, string value, CancellationToken stop)
    {
        using var sample = SampleRun.Start(_connectionString, option, value);

        var (exitCode, _, errors) = await sample.EndAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(exitCode, Is.EqualTo(2));
            Assert.That(errors, Does.Contain(string.Equals(option, "--conflict", StringComparison.Ordinal) ? value : option));
        }
    }

    private static TestCaseData Bad(string file, string expected, string name) => new TestCaseData(file, expected).SetArgDisplayNames(name);

    private static string Word(string conflict) => conflict switch { "skip" => "Skipped", "fail" => "Failed", "wait" => "Waiting", _ => "Rescheduled" };

    /// <summary>Nobody announces what other processes write: looks until it is so.</summary>
    private async Task UntilAsync(string question, CancellationToken stop)
    {
        var waited = Stopwatch.StartNew();
        while (true)
        {
            if (await AskAsync(question) is true) return;
            if (waited.Elapsed > Patience) Assert.Fail($"Not so within {Patience}: {question}");
            await Task.Delay(Glance, stop);
        }
    }

    private async Task<object?> AskAsync(string sql, params object[] parameters)
    {
        await using var connection = await _database.OpenConnectionAsync();
        return await AskAsync(connection, sql, parameters);
    }

    private static async Task<object?> AskAsync(NpgsqlConnection connection, string sql, params object[] parameters)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        foreach (var parameter in parameters) command.Parameters.Add(new() { Value = parameter });
        return await command.ExecuteScalarAsync();
    }
}
