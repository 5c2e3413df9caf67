using Hangfire;
using Hangfire.States;
using JobLocks.Hangfire.Tests.Support;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Hangfire.Tests;

/// <summary>Where there is no line, a run that should wait is rescheduled, and never lost.</summary>
[TestFixture]
public sealed class WithoutSchemaTests : RealServers
{
    private protected override HangfireSetup Setup => new() { Servers = 1, Options = static options => options.Schema = null };

    [Test, CancelAfter(60_000)]
    public async Task Reschedules_a_run_that_should_wait_where_no_schema_is_used(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        var held = await Servers[0].Locks!.TryAcquireAsync(stage.LockName, stop);

        var refused = Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id));
        var later = await Servers.States.NextAsync<ScheduledState>(refused, stop);
        await held!.DisposeAsync();
        Servers.Client.Requeue(refused);
        await Servers.States.NextAsync<SucceededState>(refused, stop);

        Assert.That(later.Reason, Does.StartWith($"Rescheduled: {stage.LockName} is held by ").And.EndWith("; next try in 15 s"));
        Assert.That(stage.Runs, Is.EqualTo(1));
    }
}

/// <summary>The server has no room left to write down who waits.</summary>
[TestFixture]
public sealed class FullDiskTests : RealServers
{
    private const string Fill =
        """
        CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE disk_full; END';
        CREATE TRIGGER full_disk BEFORE INSERT ON joblocks.wait_queue FOR EACH ROW EXECUTE FUNCTION full_disk();
        """;

    [Test, CancelAfter(60_000)]
    public async Task Reschedules_a_run_that_should_wait_and_keeps_what_is_held(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        var held = await Servers[0].Locks!.TryAcquireAsync(stage.LockName, stop);
        await using var database = NpgsqlDataSource.Create(Servers.Database);
        await database.CreateCommand(Fill).ExecuteNonQueryAsync(stop);

        var refused = Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id));
        var later = await Servers.States.NextAsync<ScheduledState>(refused, stop);
        var isLost = held!.Lost.IsCancellationRequested;
        await database.CreateCommand("DROP FUNCTION full_disk CASCADE").ExecuteNonQueryAsync(stop);
        Servers.Client.Requeue(refused);
        await Servers.ParkedAsync(refused, stop, nth: 2);
        await held.DisposeAsync();
        await Servers.States.NextAsync<SucceededState>(refused, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(later.Reason, Does.StartWith($"Rescheduled: {stage.LockName} could not be requested. ").And.Contain("53100"));
            Assert.That(isLost, Is.False);
            Assert.That(stage.Runs, Is.EqualTo(1));
        }
    }
}

/// <summary>A role that may not use the table of the line.</summary>
[TestFixture]
public sealed class WithoutRightsTests : RealServers
{
    private readonly LogJournal _log = new();
    private readonly string _role = $"poor_{Guid.NewGuid():N}";

    [OneTimeTearDown]
    public void End() => _log.Dispose();

    private protected override async Task<HangfireServers> StartAsync()
    {
        var database = await AssemblySetup.Server.CreateDatabaseAsync(GetType().Name);
        await using (var owner = AdvisoryLocks.Connect(database)) await (await owner.TryAcquireAsync("prepared"))!.DisposeAsync();
        await using var source = NpgsqlDataSource.Create(database);
        await using var command = source.CreateCommand($"CREATE ROLE {_role} LOGIN PASSWORD 'poor'; GRANT USAGE ON SCHEMA joblocks TO {_role}; GRANT USAGE ON SEQUENCE joblocks.fence TO {_role};");
        await command.ExecuteNonQueryAsync();
        var poor = new NpgsqlConnectionStringBuilder(database) { Username = _role, Password = "poor" }.ConnectionString;
        return HangfireServers.Start(database, new() { Servers = 1, LockDatabase = poor, Loggers = _log });
    }

    private protected override async ValueTask StoppedAsync()
    {
        await using var source = NpgsqlDataSource.Create(AssemblySetup.Server.ConnectionString);
        await using var command = source.CreateCommand($"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{_role}'");
        await command.ExecuteNonQueryAsync();
    }

    [Test, CancelAfter(60_000)]
    public async Task Reschedules_a_run_that_should_wait_and_warns_once(CancellationToken stop)
    {
        var stage = NewStage();
        stage.LetLeave();
        var held = await Servers[0].Locks!.TryAcquireAsync(stage.LockName, stop);

        var refused = Servers.Enqueue<WaitingJob>(job => job.Run(stage.Id));
        var later = await Servers.States.NextAsync<ScheduledState>(refused, stop);
        Servers.Client.Requeue(refused);
        await Servers.ParkedAsync(refused, stop, nth: 2);
        await held!.DisposeAsync();
        Servers.Client.Requeue(refused);
        await Servers.States.NextAsync<SucceededState>(refused, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(later.Reason, Does.StartWith($"Rescheduled: {stage.LockName} is held by "));
            Assert.That(_log.Lines.Where(static line => line.Level >= LogLevel.Warning).Select(static line => line.Text), Has.Exactly(1).Contains("No run can wait in the wait queue"));
            Assert.That(stage.Runs, Is.EqualTo(1));
        }
    }
}
