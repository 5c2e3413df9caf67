using System.Globalization;
using JobLocks.Gate;
using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace JobLocks.Tests.Faults;

/// <summary>
/// The disk of the database is full, down to the last page: PostgreSQL itself raises 53100. The database is in a tablespace on a file system of a few megabytes. Has a server of
/// its own.
/// </summary>
[TestFixture, CancelAfter(90_000)]
public sealed class FullTablespaceTests : WaitQueueFixture
{
    // A new database takes 8 of them.
    private const int Megabytes = 16;

    private const int BytesOfPage = 8192;

    private PostgresServer? _server;
    private SmallDisk? _disk;
    private LogLines _log = null!;

    private protected override async Task<string> NewDatabaseAsync()
    {
        // Vacuum would give back the pages of a statement that failed.
        _server = await PostgresServer.StartAsync("autovacuum = off");
        if (!_server.CanRestart) Assert.Ignore("The disk of a server that serves others is not filled.");
        var dataFolder = (string)(await LockTable.AskAsync(_server.ConnectionString, "SELECT current_setting('data_directory')"))!;
        try
        {
            _disk = await SmallDisk.MountAsync(Megabytes, dataFolder, CancellationToken.None);
        }
        catch (NotSupportedException reason)
        {
            Assert.Ignore($"There is no disk to fill. {reason.Message}");
        }

        await LockTable.AskAsync(_server.ConnectionString, $"CREATE TABLESPACE small LOCATION '{_disk!.Path}'");
        await LockTable.AskAsync(_server.ConnectionString, "CREATE DATABASE small TABLESPACE small");
        return new NpgsqlConnectionStringBuilder(_server.ConnectionString) { Database = "small" }.ConnectionString;
    }

    [OneTimeTearDown]
    public async Task StopServer()
    {
        try
        {
            if (_server is not null) await _server.DisposeAsync();
        }
        finally
        {
            if (_disk is not null) await _disk.DisposeAsync();
        }
    }

    [SetUp]
    public void OpenLog() => _log = new();

    [TearDown]
    public async Task MakeRoom()
    {
        await MakeRoomAsync();
        _log.Dispose();
    }

    [Test]
    public async Task Keeps_locks_and_runs_and_starts_what_waits_when_there_is_room_again(CancellationToken stop)
    {
        await using var container = new ServiceCollection().AddLogging().AddSingleton<ILoggerFactory>(_log).AddJobLocks(Database).AddHealthChecks().AddJobLocks().Services
            .BuildServiceProvider();
        var health = container.GetRequiredService<HealthCheckService>();
        var locks = (AdvisoryLocks)container.GetRequiredService<IJobLocks>();
        ((ILockBackend)locks).WaitQueue.AddStore(Runs);
        var held = await locks.TryAcquireAsync(Name, stop);
        await using var kept = await locks.TryAcquireAsync($"{Name} kept", stop);
        await ParkAsync(locks, 1, stop);

        await FillAsync(stop);
        var (parked, refused) = await ParkUntilRefusedAsync(locks, stop);
        var degraded = await TakeAndReleaseUntilDegradedAsync(locks, health, stop);
        var snapshot = await locks.Inspector.GetSnapshotAsync(stop: stop);
        await held!.DisposeAsync();
        var isLost = kept!.IsLost;
        await MakeRoomAsync();

        var started = new List<string>();
        while (started.Count < parked.Count)
        {
            var next = await Runs.NextAsync(stop);
            started.Add(next.Address.Run);
            (await EnterAsync(locks, next, stop)).Dispose();
        }

        while ((await health.CheckHealthAsync(stop)).Status != HealthStatus.Healthy) await Task.Delay(50, stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(refused.Action, Is.EqualTo(OnConflict.Reschedule));
            Assert.That(refused.Reason, Does.Contain("53100"));
            Assert.That(degraded.Entries["joblocks"].Description, Does.Contain("keeps the locks, but").And.Match("See warning [46]01"));
            Assert.That(_log.Text, Does.Contain("No space left on device"));
            Assert.That(snapshot.Waiting.Items.Select(static one => one.Name), Does.Contain(Name));
            Assert.That(isLost || kept.IsLost, Is.False);
            Assert.That(started, Is.EqualTo(parked));
            Assert.That(await LengthAsync(), Is.Zero);
        }

        await kept.DisposeAsync();
        await container.DisposeAsync();
        Assert.That(await LockTable.CountLeftAsync(Database), Is.Zero);
    }

    [Test]
    public async Task Says_why_no_session_opens_and_opens_one_when_there_is_room_again(CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(Database, loggers: _log);
        await using var held = await locks.TryAcquireAsync(Name, stop);
        await FillAsync(stop);

        // A new session makes functions of its own. The catalog has room for those of ended sessions, so more processes open sessions until it has none.
        await LockTable.EndSessionsAsync(Database);
        List<AdvisoryLocks> processes = [locks];
        JobLocksUnavailableException? error;
        while ((error = await RefusalAsync(processes[^1], stop)) is null) processes.Add(AdvisoryLocks.Connect(Database, loggers: _log));

        await MakeRoomAsync();

        await using var next = await processes[^1].TryAcquireOnceBackAsync($"{Name} next", stop);
        foreach (var process in processes.SkipLast(1)) await process.DisposeAsync();
        using (Assert.EnterMultipleScope())
        {
            Assert.That(error.Message, Does.Contain("53100").And.Contain("No space left on device"));
            Assert.That(error.NeedsChange, Is.False);
            Assert.That(held!.IsLost, Is.True);
            Assert.That(next, Is.Not.Null);
        }

        await processes[^1].DisposeAsync();
    }

    /// <summary>Until the server has not one page left.</summary>
    private async Task FillAsync(CancellationToken stop)
    {
        await LockTable.AskAsync(Database, "CREATE TABLE public.filler (row text)");
        while (true)
        {
            try
            {
                await LockTable.AskAsync(Database, "INSERT INTO public.filler SELECT repeat('x', 1900) FROM generate_series(1, 40)");
            }
            catch (PostgresException full) when (full.SqlState is PostgresErrorCodes.DiskFull)
            {
                // The first error may come with a megabyte left.
                if (new DriveInfo(_disk!.Path).AvailableFreeSpace < BytesOfPage) return;
            }

            stop.ThrowIfCancellationRequested();
        }
    }

    private Task<object?> MakeRoomAsync() => LockTable.AskAsync(Database, "DROP TABLE IF EXISTS public.filler");

    /// <summary>Runs that meet a held lock, until the pages of the queue have no room for one more.</summary>
    /// <returns>The runs that wait, and the answer to the last one.</returns>
    private async Task<(List<string> Parked, Admission.Refused Refused)> ParkUntilRefusedAsync(AdvisoryLocks locks, CancellationToken stop)
    {
        var gate = new JobGate(locks, NullLogger<JobGate>.Instance);
        var parked = new List<string> { "1" };
        for (var run = 2; ; run++)
        {
            var admission = await gate.TryEnterAsync(CallOf(run, Rule), stop);
            if (admission is Admission.Refused refused) return (parked, refused);

            parked.Add(run.ToString(CultureInfo.InvariantCulture));
            try
            {
                await gate.MarkParkedAsync(((Admission.Waits)admission).Entry);
            }
            catch (PostgresException full) when (full.SqlState is PostgresErrorCodes.DiskFull)
            {
                // As the adapters do: a sweep asks the store whether it keeps the run.
            }
        }
    }

    /// <summary>Each name is counted in a row of its own, until there is no room for one more.</summary>
    private async Task<HealthReport> TakeAndReleaseUntilDegradedAsync(AdvisoryLocks locks, HealthCheckService health, CancellationToken stop)
    {
        for (var number = 0; ; number++)
        {
            await (await locks.TryAcquireAsync($"{Name} {number}", stop))!.DisposeAsync();
            var report = await health.CheckHealthAsync(stop);
            if (report.Status == HealthStatus.Degraded) return report;

            await Task.Delay(10, stop);
        }
    }

    private async Task<JobLocksUnavailableException?> RefusalAsync(AdvisoryLocks locks, CancellationToken stop)
    {
        try
        {
            await using var handle = await locks.TryAcquireAsync($"{Name} refused", stop);
            return null;
        }
        catch (JobLocksUnavailableException refused)
        {
            return refused;
        }
    }
}
