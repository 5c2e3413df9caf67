using JobLocks.Gate;
using JobLocks.Locks;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.Inspection;

/// <summary>Who has what, who waits, and why, as another process sees it.</summary>
[TestFixture, CancelAfter(20_000)]
public sealed class InspectorTests
{
    private string _database = "";
    private string _name = "";
    private AdvisoryLocks _locks = null!;
    private AdvisoryLocks _looking = null!;

    private LockKey Key => LockKey.Of(_name);

    private string Role => new NpgsqlConnectionStringBuilder(_database).Username!;

    [SetUp]
    public async Task Connect()
    {
        _database = await AssemblySetup.Server.CreateDatabaseAsync("inspector");
        _name = $"order({Guid.NewGuid():N})";
        _locks = AdvisoryLocks.Connect(_database, static options => options.ApplicationName = "billing@web-3:812");
        _looking = AdvisoryLocks.Connect(_database);
    }

    [TearDown]
    public async Task Close()
    {
        await _locks.DisposeAsync();
        await _looking.DisposeAsync();
    }

    [Test]
    public async Task Shows_who_holds_a_lock_in_another_process_and_since_when(CancellationToken stop)
    {
        var before = DateTimeOffset.UtcNow;
        using var held = await HoldAsync(stop);

        var (shown, total) = await WrittenDownAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(total, Is.EqualTo(1));
            Assert.That(shown.Name, Is.EqualTo(_name));
            Assert.That(shown.Key, Is.EqualTo(Key));
            Assert.That(shown.Mode, Is.EqualTo(LockMode.Exclusive));
            Assert.That(shown.Holder.ToString(), Is.EqualTo("Hangfire job 1187 of billing on web-3 (pid 812)"));
            Assert.That(shown.Holder.Since, Is.InRange(before, DateTimeOffset.UtcNow));
            Assert.That(shown.Holder.IsForeign, Is.False);
        }
    }

    [Test]
    public async Task Shows_the_run_at_once_to_its_own_process(CancellationToken stop)
    {
        using var held = await HoldAsync(stop);

        var page = await _locks.Inspector.GetHeldAsync(stop: stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(page.Items.Select(static one => one.Name), Is.EqualTo([_name]));
            Assert.That(page.Items[0].Holder.Run, Is.EqualTo("Hangfire job 1187"));
        }
    }

    [Test]
    public async Task Shows_a_foreign_program_as_what_it_is_and_gives_the_key_its_name_back(CancellationToken stop)
    {
        await (await _locks.TryAcquireAsync(_name, stop))!.DisposeAsync();
        await UntilAsync(async () => (await _looking.Inspector.GetNameAsync(Key, stop)).Runs == 1, stop);
        await using var script = new NpgsqlConnection(_database + ";Application Name=nightly.py;Pooling=false");
        await script.OpenAsync(stop);
        await TakeAsync(script, stop, $"SELECT pg_advisory_lock({Key})");

        var shown = (await _looking.Inspector.GetHeldAsync(stop: stop)).Items.Single();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(shown.Name, Is.EqualTo(_name));
            Assert.That(shown.Holder.IsForeign, Is.True);
            Assert.That(shown.Holder.ToString(), Does.StartWith($"nightly.py (backend {script.ProcessID}"));
            Assert.That(shown.Holder.ConnectedSince, Is.Not.Null);
        }
    }

    [Test]
    public async Task Shows_nothing_as_held_that_the_server_does_not_show(CancellationToken stop)
    {
        using var held = await HoldAsync(stop);
        await WrittenDownAsync(stop);
        await LockTable.EndSessionsAsync(_database);
        await held.WhenLost().WaitAsync(stop);
        await UntilAsync(async () => await LockTable.CountAsync(_database) == 0, stop);

        Assert.That((await _looking.Inspector.GetHeldAsync(stop: stop)).Items, Is.Empty);
    }

    [Test]
    public async Task Says_in_one_sentence_why_a_run_does_not_start(CancellationToken stop)
    {
        using var held = await HoldAsync(stop);
        for (var run = 1; run <= 9; run++) await ParkAsync($"{run}", stop);
        await WrittenDownAsync(stop);
        await LockTable.AskAsync(_database, "INSERT INTO joblocks.names VALUES ($1, $2, now(), 10, 41, 0, 0) ON CONFLICT (key) DO UPDATE SET runs = 10, held = 41", Key.Value, _name);

        var sentence = await _looking.Inspector.ExplainAsync("3", stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(sentence, Does.StartWith($"waiting for {_name}, held by Hangfire job 1187 of billing on web-3 (pid 812) since {DateTime.UtcNow:yyyy}"));
            Assert.That(sentence, Does.EndWith(", position 3 of 9, usual hold 4.1 s"));
            Assert.That(await _looking.Inspector.ExplainAsync("1187", stop), Does.StartWith($"holds {_name} since"));
            Assert.That(await _looking.Inspector.ExplainAsync("unknown", stop), Is.Null);
        }
    }

    [Test]
    public async Task Lists_the_wait_queues_and_the_runs_in_them_in_order(CancellationToken stop)
    {
        using var held = await HoldAsync(stop);
        foreach (var run in new[] { "a", "b", "c" }) await ParkAsync(run, stop);
        await WrittenDownAsync(stop);

        var lines = await _looking.Inspector.GetWaitingAsync(stop: stop);
        var line = await _looking.Inspector.GetWaitingAsync(Key, skip: 1, take: 2, stop);
        var beyond = await _looking.Inspector.GetWaitingAsync(Key, skip: 50, take: 2, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(lines.Items.Select(static one => (one.Name, one.Length, one.Holder?.Run)), Is.EqualTo([(_name, 3L, "Hangfire job 1187")]));
            Assert.That(lines.Total, Is.EqualTo(1));
            Assert.That(line.Items.Select(static one => (one.Position, one.Run, one.Scheduler)), Is.EqualTo([(2L, "b", "Test"), (3L, "c", "Test")]));
            Assert.That(line.Total, Is.EqualTo(3));
            Assert.That(beyond.Items, Is.Empty);
            Assert.That(beyond.Total, Is.EqualTo(3));
        }
    }

    [Test]
    public async Task Tells_all_about_a_name_with_its_slots_and_its_last_hour(CancellationToken stop)
    {
        ILockBackend keeper = _locks;
        var request = new LockRequest(_name, Key, LockMode.Exclusive, limit: 3);
        var first = await keeper.TryAcquireAllAsync([request], new() { Run = "Hangfire job 1" }, entry: null, blocks: false, stop);
        var second = await keeper.TryAcquireAllAsync([request], new() { Run = "Quartz job 2" }, entry: null, blocks: false, stop);
        await (await keeper.TryAcquireAllAsync([request], new() { Run = "Quartz job 3" }, entry: null, blocks: false, stop)).Handles[0].DisposeAsync();
        await UntilAsync(async () => await _looking.Inspector.GetNameAsync(Key, stop) is { Held.Count: 2, Runs: 1 }, stop);

        var told = await _looking.Inspector.GetNameAsync(Key, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(told.Name, Is.EqualTo(_name));
            Assert.That(told.Held.Select(static one => one.Holder.Run), Is.EquivalentTo(["Hangfire job 1", "Quartz job 2"]));
            Assert.That(told.Held.Select(static one => one.NameKey), Is.All.EqualTo(Key));
            Assert.That(told.UsualHold, Is.Not.Null);
            Assert.That(told.LastHour.Sum(static minute => minute.Runs), Is.EqualTo(1));
        }

        await first.Handles[0].DisposeAsync();
        await second.Handles[0].DisposeAsync();
    }

    [Test]
    public async Task Finds_a_name_by_a_part_of_it_by_its_key_and_by_its_runs(CancellationToken stop)
    {
        using var held = await HoldAsync(stop);
        await ParkAsync("4711", stop);
        await WrittenDownAsync(stop);
        await held.DisposeAsync();
        await UntilAsync(async () => (await _looking.Inspector.GetNameAsync(Key, stop)).Runs == 1, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That((await _looking.Inspector.FindAsync(_name[6..20], stop)).Select(static match => match.Name), Does.Contain(_name));
            Assert.That((await _looking.Inspector.FindAsync(Key.ToString(), stop)).Select(static match => match.Name), Does.Contain(_name));
            Assert.That((await _looking.Inspector.FindAsync("4711", stop)).Select(static match => match.Because), Does.Contain("Test run 4711"));
            Assert.That(await _looking.Inspector.FindAsync("100%", stop), Is.Empty);
            Assert.That(await _looking.Inspector.FindAsync(" ", stop), Is.Empty);
        }
    }

    [Test]
    public async Task Sums_up_who_takes_locks_and_what_waits(CancellationToken stop)
    {
        using var held = await HoldAsync(stop);
        await ParkAsync("1", stop);
        await ParkAsync("2", stop);
        await WrittenDownAsync(stop);

        var overview = await _looking.Inspector.GetOverviewAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(overview.Held, Is.EqualTo(1));
            Assert.That(overview.Waiting, Is.EqualTo(2));
            Assert.That(overview.LongestQueues.Select(static one => one.Length), Is.EqualTo([2L]));
            Assert.That(overview.Processes.Where(static one => one.Session.Application is "billing").Select(static one => (one.Session.Host, one.Session.ProcessId, one.Locks)), Is.EqualTo([("web-3", (int?)812, 1L)]));
            Assert.That(overview.HasNames, Is.True);
        }
    }

    [Test]
    public async Task Finds_a_name_that_is_held_for_the_first_time(CancellationToken stop)
    {
        using var held = await HoldAsync(stop);
        await WrittenDownAsync(stop);

        foreach (var asked in new[] { _name[6..20], _name, Key.ToString() })
            Assert.That((await _looking.Inspector.FindAsync(asked, stop)).Select(static match => (match.Key, match.Name)), Is.EqualTo([(Key, _name)]), asked);
    }

    [Test]
    public async Task Finds_the_runs_of_Quartz_by_the_key_of_their_job(CancellationToken stop)
    {
        using var held = (await ((ILockBackend)_locks).TryAcquireAllAsync([new(_name, Key)], new() { Run = "Quartz job DEFAULT.nightly fired vm_17" }, entry: null, blocks: false, stop)).Handles[0];
        var standing = await ((ILockBackend)_looking).WaitQueue.EnqueueAsync(new("Quartz store", "3f2504e0", "") { Job = "DEFAULT.sync" }, new(_name, Key), default, blocks: false, stop);
        await ((ILockBackend)_looking).WaitQueue.MarkParkedAsync(standing.Entry!, blocks: false, stop);
        await WrittenDownAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            foreach (var asked in new[] { "DEFAULT.sync", "sync", "3f2504e0" })
            {
                Assert.That(await _looking.Inspector.ExplainAsync(asked, stop), Does.StartWith($"waiting for {_name}, held by Quartz job DEFAULT.nightly fired vm_17 of billing on web-3"), asked);
                Assert.That((await _looking.Inspector.FindAsync(asked, stop)).Select(static one => one.Key), Is.EqualTo([Key]), asked);
            }

            foreach (var asked in new[] { "DEFAULT.nightly", "nightly", "DEFAULT.nightly fired vm_17" })
            {
                Assert.That(await _looking.Inspector.ExplainAsync(asked, stop), Does.StartWith($"holds {_name} since "), asked);
                Assert.That((await _looking.Inspector.FindAsync(asked, stop)).Select(static one => one.Key), Is.EqualTo([Key]), asked);
            }

            Assert.That(await _looking.Inspector.ExplainAsync("night", stop), Is.Null);
            Assert.That((await _looking.Inspector.GetWaitingAsync(Key, stop: stop)).Items.Select(static one => one.Job), Is.EqualTo(["DEFAULT.sync"]));
        }
    }

    [Test]
    public async Task Has_the_holder_cancel_its_run_and_learns_of_the_release(CancellationToken stop)
    {
        using var held = await HoldAsync(stop);
        var lost = held.WhenLost();
        var asked = _looking.Inspector.RequestReleaseAsync(Key, "ops", TimeSpan.FromSeconds(30), stop);

        await lost.WaitAsync(stop);
        Assert.That(await _looking.TryAcquireAsync(_name, stop), Is.Null, "held until its run has ended");
        await held.DisposeAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await asked, Is.EqualTo(ReleaseAnswer.Released));
            Assert.That(held.LostReason, Is.EqualTo($"The lock {_name} is given up, since ops (database role {Role}) asked for it."));
            Assert.That(await _looking.Inspector.RequestReleaseAsync(Key, "ops", stop: stop), Is.EqualTo(ReleaseAnswer.WasFree));
        }
    }

    [Test]
    public async Task Keeps_what_was_asked_while_nothing_could_be_written_down(CancellationToken stop)
    {
        using var log = new LogLines();
        await using var locks = AdvisoryLocks.Connect(_database, loggers: log);
        await using var admin = new NpgsqlConnection(_database);
        await admin.OpenAsync(stop);
        using var held = (await locks.TryAcquireAsync(_name, stop))!;
        var lost = held.WhenLost();
        await UntilAsync(async () => (await _looking.Inspector.GetHeldAsync(stop: stop)).Items.Any(static one => one.Name is not null), stop);

        await DoAsync("ALTER TABLE joblocks.holders RENAME TO away", admin, stop);
        await log.WhenSaidAsync("holders\" does not exist", stop);
        await DoAsync("BEGIN; UPDATE joblocks.away SET release_requested_by = 'ops'; ALTER TABLE joblocks.away RENAME TO holders; COMMIT", admin, stop);
        await lost.WaitAsync(stop);

        Assert.That(held.LostReason, Is.EqualTo($"The lock {_name} is given up, since ops (database role {Role}) asked for it."));
    }

    [Test]
    public async Task Tells_that_a_holder_does_not_release_and_requests_nothing_of_a_foreign_one(CancellationToken stop)
    {
        using var held = await HoldAsync(stop);
        await using var script = new NpgsqlConnection(_database + ";Application Name=nightly.py;Pooling=false");
        await script.OpenAsync(stop);
        await using var take = new NpgsqlCommand("SELECT pg_advisory_lock(77)", script);
        await take.ExecuteNonQueryAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await _looking.Inspector.RequestReleaseAsync(Key, "ops", TimeSpan.FromSeconds(2), stop), Is.EqualTo(ReleaseAnswer.StillHeld));
            Assert.That(await _looking.Inspector.RequestReleaseAsync(new(77), "ops", stop: stop), Is.EqualTo(ReleaseAnswer.IsForeign));
        }
    }

    [Test]
    public async Task Ends_a_session_only_where_it_has_a_lock(CancellationToken stop)
    {
        await using var script = new NpgsqlConnection(_database + ";Pooling=false");
        await script.OpenAsync(stop);

        Assert.That(await _looking.Inspector.EndSessionAsync(script.ProcessID, "ops", stop), Is.False);
        await TakeAsync(script, stop);
        Assert.That(await _looking.Inspector.EndSessionAsync(script.ProcessID, "ops", stop), Is.True);
        await UntilAsync(async () => await LockTable.CountAsync(_database) == 0, stop);
    }

    [TestCase("joblocks")]
    [TestCase(null)]
    public async Task Shows_keys_and_processes_where_there_is_no_schema(string? looksInto, CancellationToken stop)
    {
        var database = await AssemblySetup.Server.CreateDatabaseAsync("inspector_plain", stop);
        await using var plain = AdvisoryLocks.Connect(database, static options => options.Schema = null);
        await using var held = await plain.TryAcquireAsync(_name, stop);
        await using var looking = AdvisoryLocks.Connect(database, options => options.Schema = looksInto);

        using (Assert.EnterMultipleScope())
        {
            Assert.That((await looking.Inspector.GetHeldAsync(stop: stop)).Items.Select(static one => one.Key), Is.EqualTo([Key]));
            Assert.That((await looking.Inspector.GetOverviewAsync(stop)).HasNames, Is.False);
            Assert.That((await looking.Inspector.GetWaitingAsync(stop: stop)).Items, Is.Empty);
            Assert.That((await looking.Inspector.GetNameAsync(Key, stop)).Held, Has.Count.EqualTo(1));
            Assert.That(await looking.Inspector.ExplainAsync("1", stop), Is.Null);
        }
    }

    [Test]
    public async Task Keeps_what_a_name_looks_like_whatever_is_in_it(CancellationToken stop)
    {
        _name = "<script>alert('x')</script>\u202E\"\n\0" + new string('x', 10_000);
        using var held = await HoldAsync(stop);

        var (shown, _) = await WrittenDownAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(shown.Name, Does.StartWith("<script>alert('x')</script>\u202E\"\n\uFFFD"));
            Assert.That(shown.Name!.Length, Is.LessThan(250));
        }
    }

    [TestCase("Database=nowhere", "create it")]
    [TestCase("Username=nobody;Password=x", "Correct user")]
    [TestCase("Command Timeout=1", "is locked by backend")]
    public async Task Says_that_it_cannot_ask_whatever_the_server_refuses(string wrong, string cure, CancellationToken stop)
    {
        await using var held = await _locks.TryAcquireAsync(_name, stop);
        await using var looking = AdvisoryLocks.Connect($"{_database};{wrong}", static options => options.ApplicationName = "looks");
        await using var admin = new NpgsqlConnection(_database);
        await admin.OpenAsync(stop);
        await using var transaction = await admin.BeginTransactionAsync(stop);
        // Who looks must wait for it, for longer than its time.
        await DoAsync("LOCK TABLE joblocks.holders, joblocks.wait_queue", admin, stop);

        using (Assert.EnterMultipleScope())
        {
            await Assert.ThatAsync(() => looking.Inspector.GetHeldAsync(stop: stop), Throws.TypeOf<JobLocksUnavailableException>().With.Message.Contains(cure));
            await Assert.ThatAsync(() => looking.Inspector.GetOverviewAsync(stop), Throws.TypeOf<JobLocksUnavailableException>());
            await Assert.ThatAsync(() => looking.Inspector.ExplainAsync("1", stop), Throws.TypeOf<JobLocksUnavailableException>());
        }
    }

    [Test]
    public async Task Refuses_pages_that_are_too_large()
    {
        using (Assert.EnterMultipleScope())
        {
            await Assert.ThatAsync(() => _looking.Inspector.GetHeldAsync(take: 101), Throws.TypeOf<ArgumentOutOfRangeException>());
            await Assert.ThatAsync(() => _looking.Inspector.GetWaitingAsync(skip: -1), Throws.TypeOf<ArgumentOutOfRangeException>());
            await Assert.ThatAsync(() => _looking.Inspector.RequestReleaseAsync(Key, " "), Throws.ArgumentException);
        }
    }

    private static Task TakeAsync(NpgsqlConnection connection, CancellationToken stop, string sql = "SELECT pg_advisory_lock(42)") => DoAsync(sql, connection, stop);

    private static async Task DoAsync(string sql, NpgsqlConnection connection, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync(stop);
    }

    private static async Task UntilAsync(Func<Task<bool>> isSo, CancellationToken stop)
    {
        while (!await isSo()) stop.ThrowIfCancellationRequested();
    }

    private async Task<JobLockHandle> HoldAsync(CancellationToken stop) =>
        (await ((ILockBackend)_locks).TryAcquireAllAsync([new(_name, Key)], new() { Run = "Hangfire job 1187" }, entry: null, blocks: false, stop)).Handles[0];

    /// <summary>What another process sees, once it was written down there who it is.</summary>
    private async Task<(HeldLock Shown, long Total)> WrittenDownAsync(CancellationToken stop)
    {
        while (true)
        {
            var page = await _looking.Inspector.GetHeldAsync(stop: stop);
            if (page.Items.FirstOrDefault(static one => one.Holder.Run is not null) is { } shown) return (shown, page.Total);
        }
    }

    private async Task ParkAsync(string run, CancellationToken stop)
    {
        var standing = await ((ILockBackend)_looking).WaitQueue.EnqueueAsync(new("Test store", run, ""), new(_name, Key), default, blocks: false, stop);
        await ((ILockBackend)_looking).WaitQueue.MarkParkedAsync(standing.Entry!, blocks: false, stop);
    }
}
