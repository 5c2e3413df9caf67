using JobLocks.Keys;
using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Inspection;

/// <summary>The samples of all locks: what they count, and that a sample that fails disturbs nothing else.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class SampleTests : WaitQueueFixture
{
    private static readonly TimeSpan Outage = TimeSpan.FromSeconds(3);

    [Test]
    public async Task Records_holders_and_releases_while_samples_cannot_be_taken(CancellationToken stop)
    {
        using var log = new LogLines();
        var locks = Open(static options => options.SampleInterval = TimeSpan.FromMilliseconds(100), log);
        await EnsureSessionAsync(locks, stop);
        await WhenAsync("SELECT count(*) > 0 FROM joblocks.samples", stop);
        await using var other = await Raw.OpenAsync(Database, stop);
        await using (var locking = await other.BeginTransactionAsync(stop))
        {
            await other.AskAsync("LOCK TABLE joblocks.samples", stop);
            await log.WhenSaidAsync("Samples of the locks cannot be taken", stop);
            var lockedAt = DateTimeOffset.UtcNow;
            for (var run = 1; run == 1 || DateTimeOffset.UtcNow - lockedAt < Outage; run++)
            {
                await using (await locks.TryAcquireAsync(Name, stop)) await WhenAsync($"SELECT count(*) = 1 FROM joblocks.holders WHERE name = '{Name}'", stop);

                await WhenAsync($"SELECT coalesce(sum(runs), 0) = {run} FROM joblocks.names WHERE name = '{Name}'", stop);
                Assert.That(locks.FirstLimitation, Is.Null);
            }
        }

        await WhenAsync("SELECT count(*) > 0 FROM joblocks.samples WHERE taken > clock_timestamp() - interval '0.2 s'", stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(log.Text.Split("Samples of the locks cannot be taken"), Has.Length.EqualTo(2), "it is logged once");
            Assert.That(log.Text, Does.Not.Contain("cannot be recorded"));
        }
    }

    [Test]
    public async Task Counts_the_locks_that_the_overview_counts(CancellationToken stop)
    {
        await using var other = await Raw.OpenAsync(Database, stop);
        await other.AskAsync($"SELECT pg_advisory_lock(({InternalKeys.Proof}::bigint << 32) | 7), pg_advisory_lock(7)", stop);
        var locks = Open(static options => options.SampleInterval = TimeSpan.FromMilliseconds(100));
        await EnsureSessionAsync(locks, stop);

        var opened = await LockTable.AskAsync(Database, "SELECT clock_timestamp()::text");
        await WhenAsync($"SELECT count(*) > 2 FROM joblocks.samples WHERE taken > '{opened}'", stop);
        var overview = await locks.Inspector.GetOverviewAsync(stop);

        Assert.That((overview.Held, overview.Samples[^1].Held), Is.EqualTo((1L, 1L)));
    }

    private async Task WhenAsync(string isSo, CancellationToken stop)
    {
        while (await LockTable.AskAsync(Database, isSo) is not true) await Task.Delay(DatabaseState.LookAgainAfter, stop);
    }
}
