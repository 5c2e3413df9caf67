using System.Collections.Concurrent;
using System.Globalization;
using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;
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

    [OneTimeSetUp]
    public async Task StartServer()
    {
        _server = await PostgresServer.StartAsync(string.Create(
            CultureInfo.InvariantCulture, $"max_connections = {MaxConnections}\nsuperuser_reserved_connections = 0\nmax_locks_per_transaction = 10\n"));
        if (!_server.CanRestart) Assert.Ignore("The server is not ours, and has room for more than a test should take.");
        await LockTable.AskAsync(_server.ConnectionString, "CREATE ROLE plain LOGIN");
        await LockTable.AskAsync(_server.ConnectionString, "GRANT CREATE ON DATABASE postgres TO plain");
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

        Assert.That(await LockTable.CountLeftAsync(_server.ConnectionString), Is.Zero);
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
            Assert.That(error!.Message, Does.Contain("53300").And.Contain("Each process needs one connection"));
            Assert.That(error.NeedsChange, Is.False);
            Assert.That(handle, Is.Not.Null);
        }
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
        var isLost = held!.Lost.IsCancellationRequested;
        var holders = await filler.AskAsync(
            $"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND (classid::bigint << 32) | objid::bigint = {held.Key.Value}", stop);

        await filler.AskAsync("SELECT pg_advisory_unlock_all()", stop);
        await held.DisposeAsync();
        await using var handle = await locks.TryAcquireOnceBackAsync("no room", stop);
        await using var again = await locks.TryAcquireOnceBackAsync("held", stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(error!.Message, Does.Contain("max_locks_per_transaction"));
            Assert.That(error.NeedsChange, Is.False);
            Assert.That(refused!.Message, Does.Contain("It is held by code that took it by hand"));
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
        await _log.WhenSaidAsync("Who holds what cannot be written down", stop);
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
