using JobLocks.Hangfire.Tests.Support;
using Npgsql;

namespace JobLocks.Hangfire.Tests;

/// <summary>An older dump of the storage is restored while its servers run.</summary>
[TestFixture]
public sealed class RestoredStorageTests : RealServers
{
    private const string Dump =
        """
        DO $$
        DECLARE
            t text;
        BEGIN
            CREATE SCHEMA dump;
            FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'hangfire' AND tablename <> 'schema' LOOP
                EXECUTE format('CREATE TABLE dump.%1$I AS TABLE hangfire.%1$I', t);
            END LOOP;
        END $$
        """;

    // References are not checked, as pg_restore does it.
    private const string Restore =
        """
        DO $$
        DECLARE
            t text;
        BEGIN
            PERFORM set_config('session_replication_role', 'replica', true);
            FOR t IN SELECT tablename FROM pg_tables WHERE schemaname = 'dump' LOOP
                EXECUTE format('DELETE FROM hangfire.%1$I', t);
                EXECUTE format('INSERT INTO hangfire.%1$I SELECT * FROM dump.%1$I', t);
            END LOOP;
        END $$
        """;

    [Test, CancelAfter(120_000)]
    public async Task Runs_each_job_that_waits_in_the_dump_and_none_twice_at_once(CancellationToken stop)
    {
        var (going, ended) = (NewStage(), NewStage());
        await using var other = AdvisoryLocks.Connect(Servers.Database);
        var held = await other.TryAcquireAllAsync([going.LockName], stop);
        var free = await other.TryAcquireAsync(ended.LockName, stop);
        await ParkAsync(going, 1, stop);
        await ParkAsync(ended, 1, stop);
        await ParkAsync(ended, 2, stop);
        await Servers.Locks.RunAsync(Dump);

        await free!.DisposeAsync();
        for (var nth = 1; nth <= 2; nth++) await LeaveAsync(ended, nth, stop);
        await ParkAsync(going, 2, stop);
        await RestoreAsync();

        var again = await ended.EnteredAsync(stop, nth: 3, atMost: TimeSpan.FromSeconds(60));
        var waitsMeanwhile = await Patience.UntilAsync(() => ParkedAsync(ended), static count => count is 1L, stop);
        again.LetLeave();
        await LeaveAsync(ended, 4, stop);
        await held!.DisposeAsync();
        await LeaveAsync(going, 1, stop);
        var left = await Patience.UntilAsync(() => Servers.Locks.AskAsync("SELECT count(*) FROM joblocks.wait_queue"), static count => count is 0L, stop);
        var open = await Patience.UntilAsync(() => Servers.Locks.AskAsync("SELECT count(*) FROM hangfire.job WHERE statename <> 'Succeeded'"), static count => count is 0L, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That((waitsMeanwhile, left, open), Is.EqualTo((1L, 0L, 0L)));
            Assert.That(ended.Entries.Entries.Select(static entry => entry.Number).Take(2), Is.EqualTo([1, 2]));
            Assert.That(ended.Entries.Entries.Select(static entry => entry.Number).Skip(2), Is.EquivalentTo([1, 2]));
            Assert.That(going.Entries.Entries.Select(static entry => entry.Number), Is.EqualTo([1]), "the other one is not in the dump");
            Assert.That((going.MostAtOnce, ended.MostAtOnce), Is.EqualTo((1, 1)));
        }
    }

    /// <summary>It waits, and Hangfire is done with its delivery.</summary>
    private async Task ParkAsync(Stage stage, int number, CancellationToken stop)
    {
        var before = await ParkedAsync(stage);
        Servers.Enqueue<WaitingJob>(job => job.Write(stage.Id, number));
        await Patience.UntilAsync(() => ParkedAsync(stage), count => !Equals(count, before), stop);
        await Patience.UntilAsync(() => Servers.Locks.AskAsync("SELECT count(*) FROM hangfire.jobqueue"), static count => count is 0L, stop);
    }

    private static async Task LeaveAsync(Stage stage, int nth, CancellationToken stop)
    {
        (await stage.EnteredAsync(stop, nth)).LetLeave();
        await stage.LeftAsync(stop, nth);
    }

    private Task<object?> ParkedAsync(Stage stage) => Servers.Locks.AskAsync("SELECT count(*) FROM joblocks.wait_queue WHERE parked AND name = $1", stage.LockName);

    private async Task RestoreAsync()
    {
        while (true)
        {
            try
            {
                await Servers.Locks.RunAsync(Restore);
                return;
            }
            catch (PostgresException deadlock) when (deadlock is { SqlState: PostgresErrorCodes.DeadlockDetected })
            {
                // The servers go on meanwhile.
            }
        }
    }
}
