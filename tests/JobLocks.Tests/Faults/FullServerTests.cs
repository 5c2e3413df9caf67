using System.Collections.Concurrent;
using System.Globalization;
using JobLocks.Gate;
using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace JobLocks.Tests.Faults;

/// <summary>A server with no room left, for connections or for locks. Has a very small server of its own.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class FullServerTests
{
    private const int MaxConnections = 10;

    // A quarter of max_locks_per_transaction times max_connections.
    private const int Share = 25;

    private PostgresServer _server = null!;
    private LogLines _log = null!;
    private AdvisoryLocks _locks = null!;

    /// <summary>For looks that keep none of the few connections.</summary>
    private string Unpooled => $"{_server.ConnectionString};Pooling=false";

    [OneTimeSetUp]
    public async Task StartServer()
    {
        _server = await PostgresServer.StartAsync(string.Create(
            CultureInfo.InvariantCulture, $"max_connections = {MaxConnections}\nsuperuser_reserved_connections = 0\nmax_locks_per_transaction = 10\n"));
        if (!_server.CanRestart) Assert.Ignore("The server is not ours, and has room for more than a test should take.");
        await LockTable.AskAsync(Unpooled, "CREATE ROLE plain LOGIN");
        await LockTable.AskAsync(Unpooled, "GRANT CREATE ON DATABASE postgres TO plain");
    }

    [OneTimeTearDown]
    public async Task StopServer() => await _server.DisposeAsync();

    [SetUp]
    public void Connect()
    {
        _log = new();
        _locks = AdvisoryLocks.Connect(_server.ConnectionString, loggers: _log);
    }

    [TearDown]
    public async Task Leaves_no_lock_behind()
    {
        await _locks.DisposeAsync();
        _log.Dispose();

        Assert.That(await LockTable.CountLeftAsync(Unpooled), Is.Zero);
    }

    [Test]
    public async Task Refuses_while_there_is_no_connection_left_and_works_once_there_is(CancellationToken stop)
    {
        var others = new ConcurrentBag<NpgsqlConnection>();
        while (await TryOpenAsync(stop) is { } other) others.Add(other);

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => _locks.TryAcquireAsync("crowded", stop));

        foreach (var other in others) await other.DisposeAsync();
        await using var handle = await _locks.TryAcquireOnceBackAsync("crowded", stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.Message, Does.Contain("53300").And.Contain("A process uses 1 connection"));
            Assert.That(error.NeedsChange, Is.False);
            Assert.That(handle, Is.Not.Null);
        }
    }

    [Test]
    public async Task Keeps_runs_that_begin_or_wait_while_there_is_no_connection_left_and_starts_them_once_there_is(CancellationToken stop)
    {
        var store = new RunsOfTest();
        await using var locks = AdvisoryLocks.Connect(_server.ConnectionString, static options => options.ApplicationName = "crowded", _log);
        ((ILockBackend)locks).WaitQueue.AddStore(store);
        var held = await locks.TryAcquireAsync("crowded", stop);
        await using var kept = await locks.TryAcquireAsync("kept", stop);
        var parked = (Admission.Waits)await EnterAsync(locks, "crowded", store, 1, stop);
        await ((ILockBackend)locks).WaitQueue.MarkParkedAsync(parked.Entry, blocks: false, stop);

        var others = await CrowdOutAsync("crowded", stop);
        // The session that holds the locks is enough for a lock that is free.
        var free = await EnterAsync(locks, "nobody has it", store, 2, stop);
        var busy = await EnterAsync(locks, "crowded", store, 3, stop);
        // The first errors are those of connections that were ended.
        while (busy is Admission.Refused { Reason: var reason } && !reason.Contains("53300", StringComparison.Ordinal)) busy = await EnterAsync(locks, "crowded", store, 3, stop);
        foreach (var handle in ((Admission.Admitted)free).Handles) await handle.DisposeAsync();
        await held!.DisposeAsync();
        await _log.WhenSaidAsync("Waiting runs could not be woken or checked", stop);
        var (isLost, woken, lacks) = (kept!.IsLost, store.Woken, locks.FirstLimitation);
        // The first error may be that of a connection that was ended.
        Exception? unread;
        do unread = await Assert.CatchAsync(() => locks.Inspector.GetSnapshotAsync(stop: stop));
        while (unread!.ToString().Contains("57P01", StringComparison.Ordinal));
        foreach (var other in others) await other.DisposeAsync();

        var next = await store.NextAsync(stop);
        while (locks.FirstLimitation is not null) await Task.Delay(50, stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(busy, Is.InstanceOf<Admission.Refused>().With.Property(nameof(Admission.Refused.Action)).EqualTo(OnConflict.Reschedule));
            Assert.That((isLost, woken), Is.EqualTo((false, 0)));
            Assert.That(lacks, Does.Contain("cannot be woken for now"));
            Assert.That(unread.ToString(), Does.Contain("53300"));
            Assert.That(next.Address.Run, Is.EqualTo("1"));
        }

        await ((ILockBackend)locks).WaitQueue.DequeueAsync(parked.Entry, blocks: false, stop);
    }

    [TestCase("postgres"), TestCase("plain")]
    public async Task Takes_nothing_and_keeps_what_is_held_while_the_lock_table_is_full(string role, CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(new NpgsqlConnectionStringBuilder(_server.ConnectionString) { Username = role }.ConnectionString, loggers: _log);
        await using var filler = await Raw.OpenAsync(_server.ConnectionString, stop);
        var held = await locks.TryAcquireAsync("held", stop);
        await FillAsync(filler, stop);

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => locks.TryAcquireAsync("no room", stop));
        var refused = await Assert.ThrowsAsync<TimeoutException>(() => locks.AcquireAsync("held", TimeSpan.Zero, stop));
        // The session looks every three seconds whose the schema is, and that needs room, too.
        await _log.WhenSaidAsync("cannot be read at the moment", stop);
        var isLost = held!.Lost.IsCancellationRequested;
        var holders = await filler.AskAsync(
            $"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND (classid::bigint << 32) | objid::bigint = {held.Key.Value}", stop);

        await filler.AskAsync("SELECT pg_advisory_unlock_all()", stop);
        await held.DisposeAsync();
        await using var handle = await locks.TryAcquireOnceBackAsync("no room", stop);
        await using var again = await locks.TryAcquireOnceBackAsync("held", stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.Message, Does.Contain("max_locks_per_transaction").And.Contain($"The backend {filler.ProcessID} of").And.Contain($"SELECT pg_terminate_backend({filler.ProcessID})"));
            Assert.That(error.NeedsChange, Is.False);
            Assert.That(refused!.Message, Does.Contain("It is held by code that acquired it by hand"));
            Assert.That(isLost, Is.False);
            Assert.That(holders, Is.EqualTo(1L));
            Assert.That(handle, Is.Not.Null);
            Assert.That(again, Is.Not.Null);
        }
    }

    [Test]
    public async Task Writes_nothing_down_and_keeps_what_is_held_while_the_lock_table_is_full(CancellationToken stop)
    {
        await using var filler = await Raw.OpenAsync(_server.ConnectionString, stop);
        var held = (await _locks.TryAcquireAsync("held for long", stop))!;
        await FillAsync(filler, stop);

        // What is held for a moment is written down, and that is a transaction, which needs room in the table.
        await _log.WhenSaidAsync("The holders of locks cannot be recorded", stop);
        var isLost = held.Lost.IsCancellationRequested;

        await filler.AskAsync("SELECT pg_advisory_unlock_all()", stop);
        var holders = await filler.AskAsync(
            $"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND (classid::bigint << 32) | objid::bigint = {held.Key.Value}", stop);
        await held.DisposeAsync();
        using (Assert.EnterMultipleScope())
        {
            Assert.That(isLost, Is.False);
            Assert.That(holders, Is.EqualTo(1L));
        }
    }

    [Test]
    public async Task Takes_no_more_than_its_share_of_the_lock_table(CancellationToken stop)
    {
        var held = new List<JobLockHandle>();
        for (var number = 0; number < Share; number++) held.Add((await _locks.TryAcquireAsync($"share-{number}", stop))!);

        var error = await Assert.ThrowsAsync<JobLocksUnavailableException>(() => _locks.TryAcquireAsync("too much", stop));

        await held[0].DisposeAsync();
        await using var handle = await _locks.TryAcquireAsync("in its place", stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.Message, Does.Contain("max_locks_per_transaction"));
            Assert.That(held.Skip(1).Select(static one => one.Lost.IsCancellationRequested), Is.All.False);
            Assert.That(handle, Is.Not.Null);
        }

        foreach (var one in held) await one.DisposeAsync();
    }

    [Test]
    public async Task Takes_no_more_than_its_share_before_it_knows_how_much_that_is(CancellationToken stop)
    {
        var asked = Enumerable.Range(0, Share * 2).Select(number => _locks.TryAcquireAsync($"early-{number}", stop)).ToList();

        var granted = 0;
        foreach (var task in asked)
        {
            try
            {
                await using var handle = await task;
                granted += handle is null ? 0 : 1;
            }
            catch (JobLocksUnavailableException tooMany)
            {
                Assert.That(tooMany.Message, Does.Contain("max_locks_per_transaction"));
            }
        }

        Assert.That(granted, Is.EqualTo(Share));
    }

    private static Task<Admission> EnterAsync(AdvisoryLocks locks, string name, RunsOfTest store, int run, CancellationToken stop) =>
        new JobGate(locks, NullLogger<JobGate>.Instance).TryEnterAsync(
            Calls.Call(name) with { Address = _ => new(store.Id, run.ToString(CultureInfo.InvariantCulture), "") }, stop);

    /// <summary>Others take all connections but the session of an application that holds its locks.</summary>
    private async Task<ConcurrentBag<NpgsqlConnection>> CrowdOutAsync(string application, CancellationToken stop)
    {
        var others = new ConcurrentBag<NpgsqlConnection>();
        var first = await Raw.OpenAsync(_server.ConnectionString, stop);
        others.Add(first);
        while (true)
        {
            await first.AskAsync(
                $"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '{application}' AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1)", stop);
            while (await TryOpenAsync(stop) is { } other) others.Add(other);
            if (await first.AskAsync($"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{application}'", stop) is 1L) return others;
        }
    }

    private async Task<NpgsqlConnection?> TryOpenAsync(CancellationToken stop)
    {
        try
        {
            return await Raw.OpenAsync(_server.ConnectionString, stop);
        }
        catch (PostgresException full) when (string.Equals(full.SqlState, PostgresErrorCodes.TooManyConnections, StringComparison.Ordinal))
        {
            return null;
        }
    }

    /// <summary>Until not one more goes in.</summary>
    private static async Task FillAsync(NpgsqlConnection filler, CancellationToken stop)
    {
        // Caught on the server: Npgsql takes this error for the end of a connection.
        await filler.AskAsync(
            """
            DO $do$
            DECLARE
                refused int := 0;
            BEGIN
                FOR number IN 1..1000000 LOOP
                    BEGIN
                        PERFORM pg_advisory_lock_shared(number);
                    EXCEPTION WHEN out_of_memory THEN
                        refused := refused + 1;
                    END;
                    EXIT WHEN refused = 20;
                END LOOP;
            END
            $do$
            """,
            stop);
    }
}
