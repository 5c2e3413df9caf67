using JobLocks.Gate;
using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Inspection;

/// <summary>The last minutes of a name, as another process sees them: what is recorded, what is missing, and how much is kept.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class TimelineTests
{
    private const string Hostile = "<b>job</b>\0 \u202E'";

    private string _database = "";
    private string _name = "";
    private DateTimeOffset _begin;
    private AdvisoryLocks _locks = null!;
    private AdvisoryLocks _looking = null!;

    private LockKey Key => LockKey.Of(_name);

    [SetUp]
    public async Task Connect()
    {
        _database = await AssemblySetup.Server.CreateDatabaseAsync("timeline");
        _name = $"order({Guid.NewGuid():N})";
        _begin = DateTimeOffset.UtcNow.AddMinutes(-2);
        _locks = AdvisoryLocks.Connect(_database);
        _looking = AdvisoryLocks.Connect(_database);
    }

    [TearDown]
    public async Task Close()
    {
        await _locks.DisposeAsync();
        await _looking.DisposeAsync();
    }

    [Test]
    public async Task Shows_since_when_the_holder_in_another_process_has_waited(CancellationToken stop)
    {
        var first = await HoldAsync("first", stop);
        var waiting = _locks.AcquireAsync(_name, Timeout.InfiniteTimeSpan, stop);
        await first.DisposeAsync();
        await using var held = await waiting;

        var timeline = await WhenAsync(static timeline => timeline.Runs is [.., { IsHolding: true, WaitingSince: not null }], stop);

        Assert.That(timeline.Runs[^1].HeldSince, Is.EqualTo(held.Since).Within(TimeSpan.FromMilliseconds(1)).And.GreaterThanOrEqualTo(timeline.Runs[^1].WaitingSince!));
    }

    [Test]
    public async Task Shows_a_foreign_holder_without_a_time(CancellationToken stop)
    {
        // Creates the schema.
        await _locks.EnsureSessionAsync(stop);
        await using var script = await Raw.OpenAsync(_database + ";Application Name=nightly.py", stop);
        await script.AskAsync($"SELECT pg_advisory_lock({Key})", stop);

        var run = (await TimelineAsync(stop)).Runs.Single();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(run.Run, Does.StartWith("nightly.py (backend "));
            Assert.That((run.IsHolding, run.WaitingSince, run.HeldSince, run.ReleasedAt), Is.EqualTo((true, (DateTimeOffset?)null, (DateTimeOffset?)null, (DateTimeOffset?)null)));
        }
    }

    [Test]
    public async Task Keeps_a_hostile_run_name(CancellationToken stop)
    {
        await (await HoldAsync(Hostile, stop)).DisposeAsync();

        var timeline = await WhenAsync(static timeline => timeline.Runs is [{ ReleasedAt: not null }], stop);

        Assert.That(timeline.Runs[0].Run, Is.EqualTo(Hostile.Replace('\0', '\uFFFD')));
    }

    [Test]
    public async Task Keeps_a_bounded_number_of_runs_of_a_name(CancellationToken stop)
    {
        for (var round = 1; round <= 3; round++)
        {
            for (var i = 0; i < 70; i++) await (await HoldAsync("one of many", stop)).DisposeAsync();
            while (await LockTable.AskAsync(_database, "SELECT runs FROM joblocks.names WHERE key = $1", Key.Value) is not long runs || runs < 70 * round) stop.ThrowIfCancellationRequested();
        }

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await LockTable.AskAsync(_database, "SELECT count(*) FROM joblocks.recent_runs"), Is.InRange(50L, 100L));
            Assert.That(await WhenAsync(static _ => true, stop), Has.Property(nameof(LockTimeline.LeftOut)).EqualTo(160).And.Property(nameof(LockTimeline.IsComplete)).True);
        }
    }

    [Test]
    public async Task Says_that_runs_are_missing_after_the_table_was_truncated(CancellationToken stop)
    {
        await (await HoldAsync("gone", stop)).DisposeAsync();
        await WhenAsync(static timeline => timeline.Runs is [{ ReleasedAt: not null }], stop);
        await LockTable.AskAsync(_database, "TRUNCATE joblocks.recent_runs");
        var truncated = await TimelineAsync(stop);
        await (await HoldAsync("next", stop)).DisposeAsync();

        var timeline = await WhenAsync(static timeline => timeline.Runs is [{ ReleasedAt: not null }], stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That((truncated.Runs.Count, truncated.LeftOut, truncated.IsComplete), Is.EqualTo((0, 1L, false)));
            Assert.That((timeline.Runs[0].Run, timeline.LeftOut, timeline.IsComplete), Is.EqualTo(("next", 1L, false)));
        }
    }

    [Test]
    public async Task Says_that_runs_are_missing_between_the_newest_fifty_where_a_process_may_not_record_its_run(CancellationToken stop)
    {
        await RecordAsync(1, 60, stop);
        var before = await TimelineAsync(stop);
        using var log = new LogLines();
        await using var poor = await ConnectWithoutRightsAsync(log);
        await (await poor.TryAcquireAsync(_name, stop))!.DisposeAsync();
        await WhenCountedAsync(61, stop);

        var timeline = await TimelineAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That((before.Runs.Count, before.IsComplete), Is.EqualTo((50, true)));
            Assert.That((timeline.Runs.Count, timeline.IsComplete), Is.EqualTo((50, false)));
        }
    }

    [Test]
    public async Task Says_that_runs_are_missing_between_the_newest_fifty_where_an_older_version_has_counted_its_run(CancellationToken stop)
    {
        await RecordAsync(1, 60, stop);

        await LockTable.AskAsync(
            _database,
            "INSERT INTO joblocks.minutes AS m (key, minute, runs, held, refused, waited) VALUES ($1, date_trunc('minute', now()), 1, 1, 0, 0) ON CONFLICT (key, minute) DO UPDATE SET runs = m.runs + 1",
            Key.Value);

        Assert.That((await TimelineAsync(stop)).IsComplete, Is.False);
    }

    [TestCase(0), TestCase(1)]
    public async Task Says_that_runs_are_missing_between_the_newest_fifty_where_a_process_has_too_many_runs(int kept, CancellationToken stop)
    {
        await RecordAsync(1, 60, stop);
        var statistics = ((ILockBackend)_locks).Statistics;
        if (kept == 1) Ran(61);
        for (var i = 0; i < 1000; i++) statistics.Ran(new(i), $"other {i}", new("other", null, DateTimeOffset.UtcNow, DateTimeOffset.UtcNow));
        for (var number = 62; number <= 80; number++) Ran(number);
        await WhenCountedAsync(79 + kept, stop);

        var timeline = await TimelineAsync(stop);

        Assert.That((timeline.Runs.Count, timeline.Runs[^1].Run, timeline.IsComplete), Is.EqualTo((50, kept == 1 ? "80" : "60", false)));
    }

    [Test]
    public async Task Removes_old_runs_in_parts_and_leaves_a_row_that_another_process_removes(CancellationToken stop)
    {
        await _locks.EnsureSessionAsync(stop);
        await LockTable.AskAsync(
            _database, "INSERT INTO joblocks.recent_runs SELECT i, 'old', NULL, now() - interval '12 min', now() - interval '11 min', now() - interval '11 min' FROM generate_series(1, 2500) AS i");
        await using var other = await Raw.OpenAsync(_database, stop);
        await using var removing = await other.BeginTransactionAsync(stop);
        await other.AskAsync("SELECT FROM joblocks.recent_runs WHERE name_key = 7 FOR UPDATE", stop);
        using var log = new LogLines();

        // Its first pass removes old rows.
        await using var next = AdvisoryLocks.Connect(_database, configure: null, log);
        await next.EnsureSessionAsync(stop);
        while (await LockTable.AskAsync(_database, "SELECT count(*) FROM joblocks.recent_runs") is not 1L) await Task.Delay(DatabaseState.LookAgainAfter, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await LockTable.AskAsync(_database, "SELECT name_key FROM joblocks.recent_runs"), Is.EqualTo(7));
            Assert.That(log.Text, Does.Not.Contain("cannot be recorded"));
        }
    }

    [Test]
    public async Task Shows_the_rest_to_a_role_without_rights_to_the_timeline(CancellationToken stop)
    {
        await _locks.EnsureSessionAsync(stop);
        using var log = new LogLines();
        await using var poor = await ConnectWithoutRightsAsync(log);

        await (await poor.TryAcquireAsync(_name, stop))!.DisposeAsync();
        NamedLock name;
        do name = await poor.Inspector.GetNameAsync(Key, stop);
        while (name.Runs == 0);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(name.Timeline, Is.Null);
            Assert.That((await poor.Inspector.GetOverviewAsync(stop)).Samples, Is.Empty);
            Assert.That(poor.FirstLimitation, Does.Contain("GRANT SELECT, INSERT, UPDATE, DELETE ON joblocks.recent_runs, joblocks.samples"));
            Assert.That(log.Text, Does.Contain("Warning The pages do not plot the runs of this process, because its role may not write to recent_runs and samples. GRANT"));
            Assert.That(await LockTable.AskAsync(_database, "SELECT count(*) FROM joblocks.recent_runs"), Is.Zero);
            Assert.That((await TimelineAsync(stop)).IsComplete, Is.False, "the run is counted, but not recorded");
        }
    }

    /// <summary>Records runs with consecutive numbers.</summary>
    private async Task RecordAsync(int first, int last, CancellationToken stop)
    {
        await _locks.EnsureSessionAsync(stop);
        for (var number = first; number <= last; number++) Ran(number);
        await WhenCountedAsync(last, stop);
    }

    /// <summary>Counts a run that began and ended in one second of the last two minutes.</summary>
    private void Ran(int number)
    {
        var held = _begin.AddSeconds(number);
        ((ILockBackend)_locks).Statistics.Ran(Key, _name, new($"{number}", null, held, held.AddSeconds(0.5)));
    }

    private async Task WhenCountedAsync(long runs, CancellationToken stop)
    {
        while (await LockTable.AskAsync(_database, "SELECT runs FROM joblocks.names WHERE key = $1", Key.Value) is not long counted || counted < runs) await Task.Delay(DatabaseState.LookAgainAfter, stop);
    }

    private async Task<AdvisoryLocks> ConnectWithoutRightsAsync(LogLines log)
    {
        var role = $"r{Guid.NewGuid():N}";
        await LockTable.AskAsync(_database, $"CREATE ROLE {role} LOGIN");
        await LockTable.AskAsync(_database, $"GRANT USAGE ON SCHEMA joblocks TO {role}");
        await LockTable.AskAsync(_database, $"GRANT USAGE ON ALL SEQUENCES IN SCHEMA joblocks TO {role}");
        await LockTable.AskAsync(_database, $"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA joblocks TO {role}");
        await LockTable.AskAsync(_database, $"REVOKE ALL ON joblocks.recent_runs, joblocks.samples FROM {role}");
        return AdvisoryLocks.Connect(new NpgsqlConnectionStringBuilder(_database) { Username = role }.ConnectionString, static options => options.PrepareSchema = false, log);
    }

    private async Task<JobLockHandle> HoldAsync(string run, CancellationToken stop) =>
        (await ((ILockBackend)_locks).TryAcquireAllAsync([new(_name, Key)], new() { Run = run }, entry: null, blocks: false, stop)).Handles[0];

    private async Task<LockTimeline> TimelineAsync(CancellationToken stop) => (await _looking.Inspector.GetNameAsync(Key, stop)).Timeline!;

    private async Task<LockTimeline> WhenAsync(Func<LockTimeline, bool> isRecorded, CancellationToken stop)
    {
        while (true)
        {
            // The schema may not exist yet.
            if (await TimelineAsync(stop) is { } timeline && isRecorded(timeline)) return timeline;
        }
    }
}
