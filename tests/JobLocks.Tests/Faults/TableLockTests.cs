using System.Globalization;
using JobLocks.Gate;
using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Faults;

/// <summary>Another session has locked the table of the wait queue, or waits for that lock: locks go on, and the wait queue pauses.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class TableLockTests
{
    private const string TakeIt = "LOCK TABLE joblocks.wait_queue IN ACCESS EXCLUSIVE MODE";

    private static readonly TimeSpan LostAfter = TimeSpan.FromSeconds(3);

    private readonly string _me = Sessions.NewName("table lock");
    private string _database = "";
    private LogLines _log = null!;

    [SetUp]
    public async Task CreateDatabase()
    {
        _log = new();
        _database = await AssemblySetup.Server.CreateDatabaseAsync("table-lock");
        await using var first = AdvisoryLocks.Connect(_database);
        await first.EnsureSessionAsync(CancellationToken.None);
    }

    [TearDown]
    public async Task Leaves_no_lock_behind()
    {
        _log.Dispose();
        Assert.That(await LockTable.CountLeftAsync(_database), Is.Zero);
    }

    [TestCase(true, true), TestCase(false, true), TestCase(true, false), TestCase(false, false)]
    public async Task Goes_on_with_its_locks_and_refuses_none(bool hasReadModel, bool mayCreate, CancellationToken stop)
    {
        await using var locks = Locks(await RoleAsync(hasReadModel, mayCreate));
        await using var held = await locks.TryAcquireAsync("held", stop);
        await using var other = await Raw.OpenAsync(_database, stop);
        await using var transaction = await other.BeginTransactionAsync(stop);
        await other.AskAsync(TakeIt, stop);

        for (var round = 0; round < 20; round++)
        {
            await using var next = await locks.TryAcquireAsync("next", stop);
            await using var limited = (await ((ILockBackend)locks).TryAcquireAllAsync([new("two", LockKey.Of("two"), LockMode.Exclusive, 2)], new(), null, blocks: false, stop)).Handles[0];
            Assert.That(next, Is.Not.Null);
        }

        await Sessions.WhenHeardAfterAsync(_database, _me, 2 * LostAfter, stop);

        Assert.That(held!.Lost.IsCancellationRequested, Is.False);
    }

    [TestCase(true), TestCase(false)]
    public async Task Opens_a_session(bool mayCreate, CancellationToken stop)
    {
        await using var other = await Raw.OpenAsync(_database, stop);
        await using var transaction = await other.BeginTransactionAsync(stop);
        await other.AskAsync(TakeIt, stop);

        await using var locks = Locks(await RoleAsync(hasReadModel: true, mayCreate));
        await using var handle = await locks.TryAcquireAsync("first", stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(handle, Is.Not.Null);
            Assert.That(locks.FirstLimitation, Does.Contain("for now"));
            Assert.That(await ((ILockBackend)locks).WaitQueue.IsUsableAsync(blocks: false, stop), Is.False);
        }
    }

    [TestCase(true), TestCase(false)]
    public async Task Lets_no_run_bypass_the_wait_queue_again_once_it_can_be_read(bool mayCreate, CancellationToken stop)
    {
        await using var locks = Locks(await RoleAsync(hasReadModel: true, mayCreate));
        await locks.EnsureSessionAsync(stop);
        await using var serving = await Serving.ShowAsync(_database, "another");
        await LockTable.AskAsync(
            _database, "INSERT INTO joblocks.wait_queue (key, name, mode, slots, store, run, queue) VALUES ($1, 'queued', 0, 1, 'another', '1', '')", LockKey.Of("queued").Value);

        await using var dump = await Raw.OpenAsync(_database, stop);
        var transaction = await dump.BeginTransactionAsync(stop);
        await dump.AskAsync("SELECT count(*) FROM joblocks.wait_queue", stop);
        await using var other = await Raw.OpenAsync(_database, stop);
        var rewritten = other.AskAsync("VACUUM FULL joblocks.wait_queue", stop);
        while (await LockTable.AskAsync(_database, "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'joblocks.wait_queue'::regclass") is 0L) await Task.Delay(DatabaseState.LookAgainAfter, stop);
        await using (var passes = await locks.TryAcquireAsync("queued", stop)) Assert.That(passes, Is.Not.Null, "nobody can see that somebody waits");
        var usable = await ((ILockBackend)locks).WaitQueue.IsUsableAsync(blocks: false, stop);

        await transaction.DisposeAsync();
        await rewritten;
        await _log.WhenSaidAsync("Runs can wait in the wait queue again", stop);
        var newcomer = await locks.TryAcquireAsync("queued", stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(usable, Is.False);
            Assert.That(newcomer, Is.Null);
            Assert.That(locks.FirstLimitation, Is.Null);
            Assert.That(await ((ILockBackend)locks).WaitQueue.IsUsableAsync(blocks: false, stop), Is.True);
        }
    }

    [Test]
    public async Task Says_what_is_missing_and_goes_on_whatever_table_it_is(
        [Values("wait_queue", "declared_limits", "sessions", "holders", "names", "minutes", "recent_runs", "samples", "servers")] string table, [Values("DO $$BEGIN LOCK TABLE joblocks.{0}; END$$", "VACUUM FULL joblocks.{0}")] string act, CancellationToken stop)
    {
        await using var locks = Locks(_database);
        await using var held = await locks.TryAcquireAsync("held", stop);
        await using var reader = await Raw.OpenAsync(_database, stop);
        await using var reading = await reader.BeginTransactionAsync(stop);
        await reader.AskAsync($"SELECT count(*) FROM joblocks.{table}", stop);
        await using var other = await Raw.OpenAsync(_database, stop);
        // Behind the reader, and everybody else behind it.
        var acting = other.AskAsync(string.Format(CultureInfo.InvariantCulture, act, table), stop);
        await Eventually(async () => await LockTable.AskAsync(_database, $"SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'joblocks.{table}'::regclass") is 1L, stop);

        await using (var next = await locks.TryAcquireAsync("next", stop)) Assert.That(next, Is.Not.Null);
        await using (var limited = (await ((ILockBackend)locks).TryAcquireAllAsync([new("two", LockKey.Of("two"), LockMode.Exclusive, 2)], new(), null, blocks: false, stop)).Handles[0])
            Assert.That(limited, Is.Not.Null);
        // No run needs the limits, and neither runs nor the record of the holders need the samples. Only the opening of a session needs the servers.
        var expected = table switch { "wait_queue" => "has locked the table joblocks.wait_queue", "declared_limits" or "samples" or "servers" => "", _ => "holders and statistics cannot be recorded at the moment" };
        await Eventually(() => Task.FromResult(expected.Length == 0 ? locks.FirstLimitation is null : locks.FirstLimitation?.Contains(expected, StringComparison.Ordinal) == true), stop);
        await reading.DisposeAsync();
        await acting;
        await Eventually(() => Task.FromResult(locks.FirstLimitation is null), stop);

        Assert.That(held!.IsLost, Is.False);
    }

    private static async Task Eventually(Func<Task<bool>> isSo, CancellationToken stop)
    {
        while (!await isSo()) await Task.Delay(DatabaseState.LookAgainAfter, stop);
    }

    private async Task<string> RoleAsync(bool hasReadModel, bool mayCreate)
    {
        var role = $"r{Guid.NewGuid():N}";
        await LockTable.AskAsync(_database, $"CREATE ROLE {role} LOGIN");
        await LockTable.AskAsync(_database, $"GRANT USAGE ON SCHEMA joblocks TO {role}");
        await LockTable.AskAsync(_database, $"GRANT USAGE ON SEQUENCE joblocks.fence, joblocks.entry_numbers TO {role}");
        await LockTable.AskAsync(_database, $"GRANT SELECT, INSERT, UPDATE ON joblocks.declared_limits TO {role}");
        await LockTable.AskAsync(_database, $"GRANT SELECT, INSERT, UPDATE, DELETE ON joblocks.wait_queue TO {role}");
        if (hasReadModel) await LockTable.AskAsync(_database, $"GRANT SELECT, INSERT, UPDATE, DELETE ON joblocks.sessions, joblocks.holders, joblocks.names, joblocks.minutes, joblocks.recent_runs, joblocks.samples TO {role}");
        var settings = new NpgsqlConnectionStringBuilder(_database) { Username = role };
        // Without a temporary function, the statements are sent as they are.
        if (!mayCreate) await LockTable.AskAsync(_database, $"REVOKE TEMPORARY ON DATABASE \"{settings.Database}\" FROM PUBLIC");
        return settings.ConnectionString;
    }

    private AdvisoryLocks Locks(string connectionString) => AdvisoryLocks.Connect(
        connectionString,
        options =>
        {
            options.LostAfter = LostAfter;
            options.HeartbeatInterval = TimeSpan.FromSeconds(0.5);
            options.ApplicationName = _me;
        },
        _log);
}
