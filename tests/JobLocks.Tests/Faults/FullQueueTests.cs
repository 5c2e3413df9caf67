using JobLocks.Tests.Support;

namespace JobLocks.Tests.Faults;

/// <summary>Somebody listens and does not read, until the server has no room for what it should tell: nobody can tell anybody anything.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class FullQueueTests : WaitQueueFixture
{
    // In this database, the server's own function is another one. It takes gigabytes for the error to come by itself.
    private const string MayBeFull =
        """
        SET allow_system_table_mods = on;
        CREATE SCHEMA queue;
        CREATE TABLE queue.full (n int);
        ALTER FUNCTION pg_catalog.pg_notify(text, text) RENAME TO real_notify;
        CREATE FUNCTION pg_catalog.pg_notify(text, text) RETURNS void LANGUAGE plpgsql AS
        $$BEGIN
            IF EXISTS (SELECT FROM queue.full) THEN RAISE program_limit_exceeded USING MESSAGE = 'too many notifications in the NOTIFY queue'; END IF;
            PERFORM pg_catalog.real_notify($1, $2);
        END$$
        """;

    [OneTimeSetUp]
    public Task PrepareQueue() => LockTable.AskAsync(Database, MayBeFull);

    [SetUp]
    public Task EmptyQueue() => LockTable.AskAsync(Database, "TRUNCATE queue.full");

    [Test]
    public async Task Goes_on_with_its_locks_and_those_who_wait_find_out_by_themselves(CancellationToken stop)
    {
        using var log = new LogLines();
        await using var holder = AdvisoryLocks.Connect(Database, loggers: log);
        await using var waiter = AdvisoryLocks.Connect(Database);
        var held = await holder.TryAcquireAsync(Name, stop);
        var waiting = waiter.AcquireAsync(Name, Timeout.InfiniteTimeSpan, stop);
        await Markers.WhenShownAsync(Database, Markers.Waiting, stop);
        await FillAsync();

        await held!.DisposeAsync();
        await using var next = await holder.TryAcquireAsync("next", stop);
        await using var theirs = await waiting;

        using (Assert.EnterMultipleScope())
        {
            Assert.That(next, Is.Not.Null);
            Assert.That(theirs.Lost.IsCancellationRequested, Is.False);
            Assert.That(log.Text, Does.Contain("pg_notification_queue_usage"));
        }
    }

    [Test]
    public async Task Wakes_a_run_of_another_process_by_its_sweep(CancellationToken stop)
    {
        var theirs = Open();
        await EnsureSessionAsync(theirs, stop);
        await using var holder = AdvisoryLocks.Connect(Database);
        var held = await holder.TryAcquireAsync(Name, stop);
        await ParkAsync(theirs, 0, stop);
        await FillAsync();

        await held!.DisposeAsync();
        var woken = await Runs.NextAsync(stop);
        using var admitted = await EnterAsync(theirs, woken, stop);

        Assert.That(Runs.Woken, Is.EqualTo(1));
        Assert.That(await LengthAsync(), Is.Zero);
    }

    private Task<object?> FillAsync() => LockTable.AskAsync(Database, "INSERT INTO queue.full VALUES (1)");
}
