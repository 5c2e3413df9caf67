using System.Globalization;
using JobLocks.Gate;
using JobLocks.Locks;
using JobLocks.Postgres.Session;
using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Tests.Inspection;

/// <summary>Texts that the server or another role chooses come to log, health and pages without a character that cannot be seen.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class HostileTextTests
{
    private const string Hostile = "evil\u202E\u2028\U000E0041end";
    private const string Clean = "evil<U+202E><U+2028><U+E0041>end";

    private LogLines _log = null!;
    private string _database = "";

    [SetUp]
    public async Task CreateDatabase()
    {
        _log = new();
        _database = await AssemblySetup.Server.CreateDatabaseAsync("hostile");
    }

    [TearDown]
    public void EndLog() => _log.Dispose();

    [Test]
    public void Cleans_the_message_of_an_error_of_the_server()
    {
        var error = ServerTrouble.Describe("a server", new PostgresException($"{Hostile}\nError all is lost", "FATAL", "FATAL", "42501", detail: "more"));

        Assert.That(error.Message, Does.Contain($"42501: {Clean}␊Error all is lost.").And.Not.Contain("DETAIL"));
    }

    [Test]
    public void Cleans_the_name_of_a_holder_and_of_its_run()
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(new Holder { Run = Hostile, Application = Hostile }.ToString(), Is.EqualTo($"{Clean} on {Clean}"));
            Assert.That(new LockHolder { Run = Hostile, Application = Hostile, Backend = 5, IsForeign = true }.ToString(), Is.EqualTo($"{Clean} of {Clean} (backend 5)"));
            Assert.That(new LockHolder { Backend = 5, IsForeign = false }.Named($"{Hostile}@web-{Hostile}:8").ToString(), Is.EqualTo($"{Clean} on web-{Clean} (pid 8)"));
        }
    }

    [Test]
    public async Task Cleans_the_name_of_a_foreign_owner(CancellationToken stop)
    {
        var role = $"{Hostile}{Guid.NewGuid():N}";
        await LockTable.AskAsync(_database, $"CREATE ROLE \"{role}\"; CREATE SCHEMA joblocks AUTHORIZATION \"{role}\"");
        await using var locks = AdvisoryLocks.Connect(_database, loggers: _log);

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("refused", stop));
        await LockTable.AskAsync(_database, $"DROP OWNED BY \"{role}\"; DROP ROLE \"{role}\"");

        CheckClean(error!.Message, _log.Text);
    }

    [Test]
    public async Task Cleans_why_the_schema_or_a_function_of_it_cannot_be_made(CancellationToken stop)
    {
        await LockTable.AskAsync(
            _database,
            $"""
             CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE '{Hostile}'; END$$;
             CREATE EVENT TRIGGER refuse_extension ON ddl_command_start WHEN TAG IN ('CREATE EXTENSION') EXECUTE FUNCTION refuse()
             """);
        await using var locks = AdvisoryLocks.Connect(_database, loggers: _log);
        await locks.EnsureSessionAsync(stop);
        await _log.WhenSaidAsync("the function key(text) is left out", stop);

        await LockTable.AskAsync(_database, "CREATE EVENT TRIGGER refuse_schema ON ddl_command_start WHEN TAG IN ('CREATE SCHEMA') EXECUTE FUNCTION refuse(); DROP SCHEMA joblocks CASCADE");
        while (locks.FirstLimitation is null) await Task.Delay(DatabaseState.LookAgainAfter, stop);
        await _log.WhenSaidAsync("Locks still work, but", stop);

        CheckClean(locks.FirstLimitation!, [.. _log.Text.Split('\n').Where(static line => line.StartsWith("Warning ", StringComparison.Ordinal))]);
    }

    [Test]
    public async Task Cleans_who_declared_another_limit(CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(_database, loggers: _log);
        await locks.EnsureSessionAsync(stop);
        await LockTable.AskAsync(_database, $"INSERT INTO joblocks.declared_limits (name, slots, declared_by) VALUES ('limited', 3, '{Hostile}')");

        var taken = await ((ILockBackend)locks).TryAcquireAllAsync([new("limited", LockKey.Of("limited"), LockMode.Exclusive, 2)], new(), entry: null, blocks: false, stop);
        await _log.WhenSaidAsync("is limited to 2 here", stop);
        foreach (var handle in taken.Handles) await handle.DisposeAsync();

        CheckClean(_log.Text);
    }

    [Test]
    public async Task Cleans_the_verdict_in_an_entry_of_the_wait_queue(CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(_database, loggers: _log);
        await locks.EnsureSessionAsync(stop);
        await LockTable.AskAsync(
            _database,
            "INSERT INTO joblocks.wait_queue (key, name, mode, slots, store, run, queue, verdict) VALUES ($1, 'queued', 0, 1, 'store', '1', '', $2)",
            LockKey.Of("queued").Value,
            Hostile);
        var call = Calls.Call("queued") with { JobId = 1.ToString(CultureInfo.InvariantCulture), MayHaveQueueEntry = true, Address = static _ => new("store", "1", "") };

        var answer = await new JobGate(locks, new Logger<JobGate>(_log)).TryEnterAsync(call, stop) as Admission.Refused;

        CheckClean(answer!.Reason, _log.Text);
    }

    private static void CheckClean(params string[] texts)
    {
        using (Assert.EnterMultipleScope())
        {
            Assert.That(texts, Has.Some.Contains(Clean));
            // The letter E0041 is a pair that begins with DB40.
            foreach (var text in texts) Assert.That(text.Where(static letter => letter is '\u202E' or '\u2028' or '\uDB40'), Is.Empty, text);
        }
    }

    private static void CheckClean(string text, string[] more) => CheckClean([text, .. more]);
}
