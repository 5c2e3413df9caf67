using JobLocks.Gate;
using JobLocks.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace JobLocks.Tests.Faults;

/// <summary>
/// The disk of the server is full. Not every machine lets a test fill a disk: triggers on our tables raise the error that the server then raises, with its SQLSTATE 53100, for each
/// row that is added or changed.
/// </summary>
[TestFixture, CancelAfter(90_000)]
public sealed class FullDiskTests : WaitQueueFixture
{
    private static readonly string[] Tables = ["wait_queue", "declared_limits", "sessions", "holders", "names", "minutes", "recent_runs", "samples"];

    [Test]
    public async Task Keeps_locks_and_runs_and_starts_what_waits_when_there_is_room_again(CancellationToken stop)
    {
        await using var container = new ServiceCollection().AddLogging().AddJobLocks(Database).AddHealthChecks().AddJobLocks().Services.BuildServiceProvider();
        var health = container.GetRequiredService<HealthCheckService>();
        var locks = (AdvisoryLocks)container.GetRequiredService<IJobLocks>();
        ((ILockBackend)locks).WaitQueue.AddStore(Runs);
        var held = await locks.TryAcquireAsync(Name, stop);
        await using var kept = await locks.TryAcquireAsync($"{Name} kept", stop);
        await ParkAsync(locks, 1, stop);

        await FillAsync();
        var free = await EnterAsync(locks, 2, Rule with { Name = $"{Name} free" }, stop);
        var busy = await EnterAsync(locks, 3, Rule, stop);
        await held!.DisposeAsync();
        var degraded = await UntilAsync(health, HealthStatus.Degraded, stop);
        var snapshot = await locks.Inspector.GetSnapshotAsync(stop: stop);
        var (isLost, woken, waiting) = (kept!.IsLost, Runs.Woken, await LengthAsync());
        foreach (var handle in ((Admission.Admitted)free).Handles) await handle.DisposeAsync();
        await MakeRoomAsync();

        var next = await Runs.NextAsync(stop);
        (await EnterAsync(locks, next, stop)).Dispose();
        await UntilAsync(health, HealthStatus.Healthy, stop);
        using (Assert.EnterMultipleScope())
        {
            Assert.That(busy, Is.InstanceOf<Admission.Refused>().With.Property(nameof(Admission.Refused.Action)).EqualTo(OnConflict.Reschedule));
            Assert.That(((Admission.Refused)busy).Reason, Does.Contain("53100"));
            Assert.That(degraded.Entries["joblocks"].Description, Does.Contain("keeps the locks, but"));
            Assert.That(snapshot.Waiting.Items.Select(static one => one.Name), Does.Contain(Name));
            Assert.That((isLost, woken, waiting), Is.EqualTo((false, 0, 1L)));
            Assert.That(next.Address.Run, Is.EqualTo("1"));
            Assert.That(await LengthAsync(), Is.Zero);
        }

        await kept.DisposeAsync();
        await container.DisposeAsync();
        Assert.That(await LockTable.CountLeftAsync(Database), Is.Zero);
    }

    [Test]
    public async Task Writes_down_what_is_held_when_there_is_room_again(CancellationToken stop)
    {
        var locks = Open();
        await EnsureSessionAsync(locks, stop);
        await FillAsync();
        await using var held = await locks.TryAcquireAsync(Name, stop);
        while (locks.FirstLimitation?.Contains("cannot be recorded", StringComparison.Ordinal) != true) await Task.Delay(50, stop);

        await MakeRoomAsync();

        while (await LockTable.AskAsync(Database, "SELECT count(*) FROM joblocks.holders WHERE name = $1", Name) is 0L || locks.FirstLimitation is not null) await Task.Delay(50, stop);
        Assert.That(held!.IsLost, Is.False);
    }

    [TearDown]
    public Task MakeRoomAsync() => LockTable.AskAsync(Database, string.Concat(Tables.Select(static table => $"DROP TRIGGER IF EXISTS disk_is_full ON joblocks.{table};")));

    private Task<object?> FillAsync() => LockTable.AskAsync(
        Database,
        """
        CREATE OR REPLACE FUNCTION public.fail_to_extend() RETURNS trigger LANGUAGE plpgsql AS
        $$BEGIN RAISE disk_full USING MESSAGE = 'could not extend file "base/5/16384": No space left on device'; END$$;
        """ + string.Concat(Tables.Select(static table => $"CREATE TRIGGER disk_is_full BEFORE INSERT OR UPDATE ON joblocks.{table} FOR EACH ROW EXECUTE FUNCTION public.fail_to_extend();")));

    private static async Task<HealthReport> UntilAsync(HealthCheckService health, HealthStatus status, CancellationToken stop)
    {
        while (true)
        {
            var report = await health.CheckHealthAsync(stop);
            if (report.Status == status) return report;

            await Task.Delay(50, stop);
        }
    }
}
