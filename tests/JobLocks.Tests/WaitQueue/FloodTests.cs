using System.Globalization;
using JobLocks.Gate;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.WaitQueue;

/// <summary>Every role may send notifications on the channel of JobLocks: a hundred thousand of them hold up no run.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class FloodTests : WaitQueueFixture
{
    private const int Many = 100_000;

    [TestCase("'nonsense ' || n", TestName = "Wakes_a_run_in_time_and_logs_little_while_nonsense_is_sent")]
    [TestCase("n::text", TestName = "Wakes_a_run_in_time_and_logs_little_while_keys_are_sent_that_nobody_holds")]
    [TestCase("n || ' ' || 'Hangfire of nobody'", TestName = "Wakes_a_run_in_time_and_logs_little_while_places_of_foreign_stores_are_sent")]
    [TestCase("(n + 1000000) || ' ' || 'the store'", TestName = "Wakes_a_run_in_time_and_logs_little_while_places_that_are_not_there_are_sent")]
    public async Task Wakes_a_run_in_time(string payload, CancellationToken stop)
    {
        using var log = new LogLines();
        var store = new RunsOfTest { Id = "the store" };
        await using var locks = AdvisoryLocks.Connect(Database, loggers: log);
        ((ILockBackend)locks).WaitQueue.AddStore(store);
        await using var other = AdvisoryLocks.Connect(Database);
        await using var stranger = await Stranger.ConnectAsync(Database, stop);
        var waits = await WaitingAsync(locks, other, stop);
        var flood = stranger.Session.AskAsync($"SELECT count(pg_notify('joblocks', {payload})) FROM generate_series(1, {Many}) AS n", stop);
        await flood;

        var longest = TimeSpan.Zero;
        for (var run = 1; run <= 20; run++)
        {
            var held = (await other.TryAcquireAsync(Name, stop))!;
            var standing = await ((ILockBackend)locks).WaitQueue.EnqueueAsync(new(store.Id, run.ToString(CultureInfo.InvariantCulture), ""), new(Name, Key), default, blocks: false, stop);
            await ((ILockBackend)locks).WaitQueue.MarkParkedAsync(standing.Entry!, blocks: false, stop);
            var begun = TimeProvider.System.GetTimestamp();
            await held.DisposeAsync();
            await store.NextAsync(stop);
            var took = TimeProvider.System.GetElapsedTime(begun);
            if (took > longest) longest = took;
            await ((ILockBackend)locks).WaitQueue.DequeueAsync(standing.Entry!, blocks: false, stop);
        }

        await waits();
        TestContext.Out.WriteLine($"{payload}: the longest of 20 wakes took {longest.TotalMilliseconds:0} ms");
        using (Assert.EnterMultipleScope())
        {
            Assert.That(longest, Is.LessThan(TimeSpan.FromSeconds(3)));
            Assert.That(log.Text.Split('\n').Count(static line => line.StartsWith("Warning", StringComparison.Ordinal)), Is.LessThan(10));
        }
    }

    [Test]
    public async Task Logs_how_many_notifications_were_not_from_it_and_from_which_backend(CancellationToken stop)
    {
        using var log = new LogLines();
        await using var locks = AdvisoryLocks.Connect(Database, loggers: log);
        await using var other = AdvisoryLocks.Connect(Database);
        await using var stranger = await Stranger.ConnectAsync(Database, stop);
        var waits = await WaitingAsync(locks, other, stop);

        await stranger.Session.AskAsync("SELECT count(pg_notify('joblocks', 'nonsense ' || n)) FROM generate_series(1, 1000) AS n", stop);

        await log.WhenSaidAsync($"The channel joblocks brought 1 notifications that are not from JobLocks, the last one from backend {stranger.Backend}: nonsense 1.", stop);
        await log.WhenSaidAsync($"The channel joblocks brought 999 notifications that are not from JobLocks, the last one from backend {stranger.Backend}: nonsense 1000.", stop);
        await waits();
        Assert.That(log.Text, Does.Not.Contain("nonsense 2."));
    }

    /// <summary>Has a process listen, since it waits for a lock of another one.</summary>
    private async Task<Func<Task>> WaitingAsync(AdvisoryLocks locks, AdvisoryLocks other, CancellationToken stop)
    {
        var held = await other.TryAcquireAsync($"other {Name}", stop);
        var waiting = locks.AcquireAsync($"other {Name}", TimeSpan.FromMinutes(2), stop);
        while (await LockTable.AskAsync(Database, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN joblocks'") is 0L) stop.ThrowIfCancellationRequested();
        return async () =>
        {
            await held!.DisposeAsync();
            await (await waiting).DisposeAsync();
        };
    }
}
