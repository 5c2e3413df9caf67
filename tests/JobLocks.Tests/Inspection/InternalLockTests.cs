using System.Globalization;
using JobLocks.Keys;
using JobLocks.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Tests.Inspection;

/// <summary>Each program that holds an internal lock of JobLocks is named, with the statement that ends it.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class InternalLockTests
{
    private string _database = "";
    private Stranger _stranger = null!;

    [SetUp]
    public async Task Connect()
    {
        _database = await AssemblySetup.Server.CreateDatabaseAsync("internal");
        _stranger = await Stranger.ConnectAsync(_database, CancellationToken.None);
    }

    [TearDown]
    public async Task Disconnect() => await _stranger.DisposeAsync();

    [Test]
    public async Task Says_who_holds_one_in_health_log_and_overview_until_it_is_free(CancellationToken stop)
    {
        using var log = new LogLines();
        var services = new ServiceCollection().AddLogging().AddSingleton<ILoggerFactory>(log).AddJobLocks(_database);
        await using var container = services.AddHealthChecks().AddJobLocks().Services.BuildServiceProvider();
        var health = container.GetRequiredService<HealthCheckService>();
        var locks = (AdvisoryLocks)container.GetRequiredService<IJobLocks>();
        var before = await health.CheckHealthAsync(stop);
        await _stranger.TakeAsync(InternalKeys.WaitingWriter, "4", stop);
        await _stranger.TakeAsync(InternalKeys.WaitingWriter, "5", stop);

        while (await health.CheckHealthAsync(stop) is { Status: HealthStatus.Healthy }) stop.ThrowIfCancellationRequested();
        var overview = await locks.Inspector.GetOverviewAsync(stop);
        // The two locks may be found by two looks at the lock table.
        while (overview.InternalLockHolders.Single().Count < 2) overview = await locks.Inspector.GetOverviewAsync(stop);
        var held = (await health.CheckHealthAsync(stop)).Entries["joblocks"];
        await _stranger.LetGoAsync(stop);
        while (await health.CheckHealthAsync(stop) is { Status: HealthStatus.Degraded }) stop.ThrowIfCancellationRequested();
        var holder = overview.InternalLockHolders.Single();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(before.Status, Is.EqualTo(HealthStatus.Healthy));
            Assert.That(held.Status, Is.EqualTo(HealthStatus.Degraded));
            Assert.That(held.Description, Does.Contain(holder.ToString()));
            Assert.That(holder.ToString(), Does.Contain("reports").And.Contain(_stranger.Role).And.Contain("readers of that key are refused").And.EndsWith(holder.Remedy));
            Assert.That(holder.Remedy, Is.EqualTo($"SELECT pg_terminate_backend({_stranger.Backend})"));
            Assert.That((holder.Class, holder.Number, holder.Count), Is.EqualTo((InternalKeys.WaitingWriter, 4, 2)));
            Assert.That(log.Text.Split('\n').Count(static line => line.StartsWith("Warning A program that is not JobLocks holds", StringComparison.Ordinal)), Is.EqualTo(1));
            Assert.That(log.Text, Does.Contain($"The backend {_stranger.Backend} does not hold"));
            Assert.That((await locks.Inspector.GetOverviewAsync(stop)).InternalLockHolders, Is.Empty);
        }
    }

    [Test]
    public async Task Grants_a_lock_to_who_waits_for_it_while_another_program_holds_the_lock_that_says_so(CancellationToken stop)
    {
        await using var holder = AdvisoryLocks.Connect(_database);
        await using var waiter = AdvisoryLocks.Connect(_database);
        var held = await holder.TryAcquireAsync("wanted", stop);
        await _stranger.TakeAsync(InternalKeys.Waiter, NumberOf("wanted"), stop);
        var waiting = waiter.AcquireAsync("wanted", Timeout.InfiniteTimeSpan, stop);
        var overview = await holder.Inspector.GetOverviewAsync(stop);
        while (overview.InternalLockHolders.Count == 0) overview = await holder.Inspector.GetOverviewAsync(stop);
        var isGrantedBefore = waiting.IsCompleted;

        await held!.DisposeAsync();
        await using var granted = await waiting;

        Assert.That(isGrantedBefore, Is.False);
        Assert.That((overview.InternalLockHolders.Single().Class, overview.InternalLockHolders.Single().Backend), Is.EqualTo((InternalKeys.Waiter, _stranger.Backend)));
    }

    [Test]
    public async Task Refuses_readers_and_no_writer_while_another_program_holds_the_lock_of_those_who_wait_to_write(CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(_database);
        await _stranger.TakeAsync(InternalKeys.WaitingWriter, NumberOf("read"), stop);

        await using var refused = await locks.TryAcquireAsync("read", LockMode.Shared, stop);
        var writer = await locks.TryAcquireAsync("read", stop);
        if (writer is not null) await writer.DisposeAsync();
        await _stranger.LetGoAsync(stop);
        await using var reader = await locks.AcquireAsync("read", LockMode.Shared, Timeout.InfiniteTimeSpan, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(refused, Is.Null);
            Assert.That(writer, Is.Not.Null);
        }
    }

    [Test]
    public async Task Says_it_to_a_process_that_only_looks(CancellationToken stop)
    {
        await using (var owner = AdvisoryLocks.Connect(_database)) await owner.EnsureSessionAsync(stop);
        await LockTable.AskAsync(_database, $"GRANT USAGE ON SCHEMA joblocks TO {_stranger.Role}; GRANT SELECT ON ALL TABLES IN SCHEMA joblocks TO {_stranger.Role}");
        await _stranger.TakeAsync(InternalKeys.Sweep, "4", stop);
        var login = new NpgsqlConnectionStringBuilder(_database) { Username = _stranger.Role, Password = "secret" };
        await using var looking = AdvisoryLocks.Connect(login.ConnectionString, static options => options.PrepareSchema = false);

        var overview = await looking.Inspector.GetOverviewAsync(stop);
        while (overview.InternalLockHolders.Count == 0) overview = await looking.Inspector.GetOverviewAsync(stop);

        Assert.That(overview.InternalLockHolders.Single().Backend, Is.EqualTo(_stranger.Backend));
    }

    [Test]
    public async Task Takes_no_process_that_uses_no_schema_for_another_program(CancellationToken stop)
    {
        using var log = new LogLines();
        await using var first = AdvisoryLocks.Connect(_database, loggers: log);
        await using var without = AdvisoryLocks.Connect(_database, static options => (options.Schema, options.ApplicationName) = (null, "other@web-9:12"));
        await using var held = await first.TryAcquireAsync("held", stop);
        var waiting = without.AcquireAsync("held", TimeSpan.FromMinutes(1), stop);
        while (await LockTable.AskAsync(_database, $"SELECT count(*) FROM pg_locks WHERE classid = {InternalKeys.WaitingWriter} AND granted AND objid::bigint = {held!.Key.Value} & 2147483647") is 0L) stop.ThrowIfCancellationRequested();

        await _stranger.TakeAsync(InternalKeys.QueueCount, "4", stop);
        await log.WhenSaidAsync("needs for its own work", stop);
        await held.DisposeAsync();
        await (await waiting).DisposeAsync();

        foreach (var line in log.Text.Split('\n').Where(static line => line.Contains("needs for its own work", StringComparison.Ordinal))) Assert.That(line, Does.Contain(_stranger.Role));
    }

    [Test]
    public async Task Takes_no_process_for_another_program_whose_row_was_deleted(CancellationToken stop)
    {
        using var log = new LogLines();
        await using var first = AdvisoryLocks.Connect(_database, loggers: log);
        await using var second = AdvisoryLocks.Connect(_database, loggers: log);
        await using var held = await first.TryAcquireAsync("held", stop);
        var waiting = second.AcquireAsync("held", TimeSpan.FromMinutes(1), stop);
        while (await LockTable.AskAsync(_database, "SELECT count(*) FROM joblocks.sessions") is not 2L) stop.ThrowIfCancellationRequested();

        await LockTable.AskAsync(_database, "TRUNCATE joblocks.sessions");
        await _stranger.TakeAsync(InternalKeys.QueueCount, "4", stop);
        await log.WhenSaidAsync("needs for its own work", stop);
        await held!.DisposeAsync();
        await (await waiting).DisposeAsync();

        using (Assert.EnterMultipleScope())
        {
            foreach (var line in log.Text.Split('\n').Where(static line => line.Contains("needs for its own work", StringComparison.Ordinal))) Assert.That(line, Does.Contain(_stranger.Role));
            Assert.That(await LockTable.AskAsync(_database, "SELECT count(*) FROM joblocks.sessions"), Is.EqualTo(2));
        }
    }

    private static string NumberOf(string name) => (LockKey.Of(name).Value & int.MaxValue).ToString(CultureInfo.InvariantCulture);
}
