using JobLocks.Gate;
using JobLocks.Locks;
using JobLocks.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Npgsql;

namespace JobLocks.Tests.Postgres;

/// <summary>What an operator does to our objects by mistake, and what happens to locks, runs and health.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class SchemaAccidentsTests : WaitQueueFixture
{
    [TestCase("TRUNCATE joblocks.wait_queue"), TestCase("DROP TABLE joblocks.wait_queue CASCADE"), TestCase("DROP SCHEMA joblocks CASCADE")]
    public async Task Starts_a_run_that_waited_when_its_entry_is_gone(string accident, CancellationToken stop)
    {
        var locks = Open();
        var held = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);
        Runs.Parked = [AddressOf(1)];

        await LockTable.AskAsync(Database, accident);
        await held!.DisposeAsync();

        Assert.That((await Runs.NextAsync(stop)).Address.Run, Is.EqualTo("1"));
        Runs.Parked = [];
    }

    [Test]
    public async Task Keeps_its_locks_and_has_runs_wait_again_when_the_schema_was_dropped(CancellationToken stop)
    {
        var locks = Open();
        await using var held = await locks.TryAcquireAsync("kept", stop);
        var before = held!.FencingToken;

        await LockTable.AskAsync(Database, "DROP SCHEMA joblocks CASCADE");
        await UntilAsync(async () => await LockTable.AskAsync(Database, "SELECT to_regclass('joblocks.wait_queue') IS NOT NULL") is true && locks.FirstLimitation is null, stop);
        await using var next = await locks.TryAcquireAsync(Name, stop);
        await ParkAsync(locks, 1, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(held.IsLost, Is.False);
            Assert.That(next!.FencingToken, Is.GreaterThan(before), "a guard that has seen the last number must let the next one in");
            Assert.That(await LengthAsync(), Is.EqualTo(1));
        }
    }

    [TestCase("DROP SEQUENCE joblocks.fence"), TestCase("DROP SCHEMA joblocks CASCADE")]
    public async Task Draws_greater_tokens_when_the_sequence_is_made_again_after_the_clock_was_set_back(string accident, CancellationToken stop)
    {
        var locks = Open();
        await EnsureSessionAsync(locks, stop);
        // As a sequence that was made while the clock was an hour ahead.
        await LockTable.AskAsync(Database, "SELECT setval('joblocks.fence', nextval('joblocks.fence') + 3600 * 1000000::bigint)");
        await using var held = await locks.TryAcquireAsync("kept", stop);

        await LockTable.AskAsync(Database, accident);
        await UntilAsync(async () => await LockTable.AskAsync(Database, "SELECT to_regclass('joblocks.fence') IS NOT NULL") is true, stop);
        await using var next = await Open().TryAcquireAsync(Name, stop);

        Assert.That(next!.FencingToken, Is.GreaterThan(held!.FencingToken));
    }

    [Test]
    public async Task Says_why_the_schema_cannot_be_made_for_now_and_makes_it_when_it_can(CancellationToken stop)
    {
        var locks = Open();
        await EnsureSessionAsync(locks, stop);
        await LockTable.AskAsync(
            Database,
            """
            CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no schema today'; END$$;
            CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('CREATE SCHEMA') EXECUTE FUNCTION refuse();
            DROP SCHEMA joblocks CASCADE
            """);

        await UntilAsync(() => locks.FirstLimitation?.Contains("no schema today", StringComparison.Ordinal) == true, stop);
        await LockTable.AskAsync(Database, "DROP EVENT TRIGGER refuse");

        await UntilAsync(() => locks.FirstLimitation is null, stop);
        Assert.That(await LockTable.AskAsync(Database, "SELECT count(*) FROM joblocks.wait_queue"), Is.Zero);
    }

    [Test]
    public async Task Is_degraded_with_the_script_when_its_role_may_not_make_the_schema_anew(CancellationToken stop)
    {
        var (role, login) = await NewRoleAsync(stop);
        await using var locks = AdvisoryLocks.Connect(login);
        await using var held = await locks.TryAcquireAsync(Name, stop);

        await LockTable.AskAsync(Database, "ALTER SCHEMA joblocks RENAME TO aside");
        await UntilAsync(() => locks.FirstLimitation?.Contains("docs/schema.sql", StringComparison.Ordinal) == true, stop);
        await using var next = await locks.TryAcquireAsync($"{Name} next", stop);
        var heldMeanwhile = !held!.IsLost && next is not null;
        await LockTable.AskAsync(Database, "ALTER SCHEMA aside RENAME TO joblocks");
        await UntilAsync(() => locks.FirstLimitation is null, stop);

        Assert.That(heldMeanwhile, Is.True);
        await DropRoleAsync(role);
    }

    [TestCase("wait_queue"), TestCase("holders"), TestCase("sessions"), TestCase("names"), TestCase("minutes"), TestCase("recent_runs"), TestCase("samples"), TestCase("fence", "USAGE"), TestCase("entry_numbers", "USAGE"), TestCase("declared_limits", "SELECT, INSERT, UPDATE")]
    public async Task Notices_within_seconds_that_a_right_was_taken_away_and_given_back(string table, string rights = "SELECT, INSERT, UPDATE, DELETE", CancellationToken stop = default)
    {
        var (role, login) = await NewRoleAsync(stop);
        await using var container = new ServiceCollection().AddLogging().AddJobLocks(login).AddHealthChecks().AddJobLocks().Services.BuildServiceProvider();
        var health = container.GetRequiredService<HealthCheckService>();
        var before = await health.CheckHealthAsync(stop);

        await LockTable.AskAsync(Database, $"REVOKE ALL ON joblocks.{table} FROM {role}");
        var without = await UntilIsAsync(health, HealthStatus.Degraded, stop);
        await LockTable.AskAsync(Database, $"GRANT {rights} ON joblocks.{table} TO {role}");
        await UntilIsAsync(health, HealthStatus.Healthy, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(before.Status, Is.EqualTo(HealthStatus.Healthy));
            Assert.That(without.Entries["joblocks"].Description, Does.Contain("GRANT"));
            Assert.That(without.Entries["joblocks"].Description, table switch
            {
                "fence" => Does.Contain("no fencing tokens"),
                "wait_queue" or "entry_numbers" => Does.Contain("no run can enter the wait queue"),
                "declared_limits" => Does.Contain("GRANT SELECT, INSERT, UPDATE ON joblocks.declared_limits"),
                "samples" => Does.Contain("GRANT SELECT, INSERT, UPDATE, DELETE ON joblocks.recent_runs, joblocks.samples"),
                "recent_runs" => Does.Contain("the pages do not plot the runs").Or.Contain("holders and statistics cannot be recorded"),
                // The failed write is noticed before the lost right, or after it.
                _ => Does.Contain("the holders of locks are not shown").Or.Contain("holders and statistics cannot be recorded"),
            });
        }

        await DropRoleAsync(role);
    }

    [Test]
    public async Task Keeps_locks_and_the_wait_queue_without_rights_on_the_limits_and_compares_limits_once_it_has_them([Values] bool atStart, CancellationToken stop)
    {
        using var log = new LogLines();
        var (role, login) = await NewRoleAsync(stop);
        var revoke = $"REVOKE UPDATE ON joblocks.declared_limits FROM {role}";
        if (atStart) await LockTable.AskAsync(Database, revoke);
        await using var twos = AdvisoryLocks.Connect(login, loggers: log);
        await EnsureSessionAsync(twos, stop);
        if (!atStart) await LockTable.AskAsync(Database, revoke);
        await UntilAsync(() => twos.FirstLimitation?.Contains("joblocks.declared_limits", StringComparison.Ordinal) == true, stop);
        await using var threes = Open();
        await using var other = await TakeAsync(threes, 3, stop);
        await UntilAsync(async () => await LockTable.AskAsync(Database, "SELECT slots FROM joblocks.declared_limits WHERE name = $1", Name) is 3, stop);

        await (await TakeAsync(twos, 2, stop)).DisposeAsync();
        await ParkAsync(twos, 1, new LockRequest($"{Name} waits", LockKey.Of($"{Name} waits")), stop);
        var saidBefore = log.Text.Contains("is limited to 2 here, but to 3", StringComparison.Ordinal);
        await LockTable.AskAsync(Database, $"GRANT UPDATE ON joblocks.declared_limits TO {role}");
        await UntilAsync(() => twos.FirstLimitation is null, stop);
        await (await TakeAsync(twos, 2, stop)).DisposeAsync();
        await log.WhenSaidAsync("is limited to 2 here, but to 3", stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(saidBefore, Is.False);
            Assert.That(log.Text, Does.Contain("Warning Processes that declare different limits of one name are not noticed: this role lacks a right. GRANT SELECT, INSERT, UPDATE ON joblocks.declared_limits"));
            Assert.That(await LockTable.AskAsync(Database, "SELECT count(*) FROM joblocks.wait_queue WHERE name = $1", $"{Name} waits"), Is.EqualTo(1));
        }

        await twos.DisposeAsync();
        await DropRoleAsync(role);
    }

    [TestCase("TRUNCATE joblocks.sessions, joblocks.holders"), TestCase("DELETE FROM joblocks.holders"), TestCase("DELETE FROM joblocks.sessions")]
    public async Task Writes_its_holders_down_again_when_the_tables_were_emptied(string accident, CancellationToken stop)
    {
        await using var locks = Open();
        await using var held = await locks.TryAcquireAsync(Name, stop);
        await IsShownAsync(stop);

        await LockTable.AskAsync(Database, accident);

        await IsShownAsync(stop);
    }

    private Task IsShownAsync(CancellationToken stop) => UntilAsync(
        async () => await LockTable.AskAsync(Database, "SELECT count(*) FROM joblocks.holders JOIN joblocks.sessions USING (backend) WHERE name = $1", Name) is 1L, stop);

    private static Task UntilAsync(Func<bool> isSo, CancellationToken stop) => UntilAsync(() => Task.FromResult(isSo()), stop);

    private static async Task UntilAsync(Func<Task<bool>> isSo, CancellationToken stop)
    {
        while (!await isSo()) await Task.Delay(50, stop);
    }

    private static async Task<HealthReport> UntilIsAsync(HealthCheckService health, HealthStatus status, CancellationToken stop)
    {
        while (true)
        {
            var report = await health.CheckHealthAsync(stop);
            if (report.Status == status) return report;

            await Task.Delay(50, stop);
        }
    }

    /// <summary>One that has been granted all that a worker needs, and may create nothing.</summary>
    private async Task<(string Role, string Login)> NewRoleAsync(CancellationToken stop)
    {
        await EnsureSessionAsync(Open(), stop);
        var role = $"r{Guid.NewGuid():N}";
        await LockTable.AskAsync(
            Database,
            $"""
             CREATE ROLE {role} LOGIN;
             GRANT USAGE ON SCHEMA joblocks TO {role};
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA joblocks TO {role};
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA joblocks TO {role}
             """);
        return (role, new NpgsqlConnectionStringBuilder(Database) { Username = role }.ConnectionString);
    }

    private async Task<JobLockHandle> TakeAsync(ILockBackend locks, int limit, CancellationToken stop) =>
        (await locks.TryAcquireAllAsync([new(Name, Key, LockMode.Exclusive, limit)], new(), entry: null, blocks: false, stop)).Handles[0];

    private async Task DropRoleAsync(string role) => await LockTable.AskAsync(Database, $"DROP OWNED BY {role}; DROP ROLE {role}");
}
