using JobLocks.Gate;
using JobLocks.Postgres.WaitQueue;
using JobLocks.Rules;
using JobLocks.Tests.Support;
using Npgsql;

namespace JobLocks.Tests.WaitQueue;

/// <summary>A process that stops in the middle of a transaction of the line, as one does that is frozen.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class StoppedTests : WaitQueueFixture
{
    private static readonly WaitRules KeepsOne = new(null, 1, KeepsNewest: false);

    [Test]
    public async Task Makes_others_wait_for_a_moment_and_those_of_other_names_not_at_all(CancellationToken stop)
    {
        ILockBackend locks = Open();
        await EnsureSessionAsync((AdvisoryLocks)locks, stop);
        await using var stopped = await CountAsync(stop);

        var waiting = Enumerable.Range(1, 8).Select(run => locks.WaitQueue.EnqueueAsync(AddressOf(run), new(Name, Key), KeepsOne, blocks: false, stop).AsTask()).ToList();
        var other = $"other {Name}";
        var standing = await locks.WaitQueue.EnqueueAsync(AddressOf(0), new(other, LockKey.Of(other)), default, blocks: false, stop);
        foreach (var one in waiting) await Assert.ThatAsync(() => one, Throws.InstanceOf<PostgresException>().With.Property(nameof(PostgresException.SqlState)).EqualTo(PostgresErrorCodes.LockNotAvailable));

        Assert.That(standing.Entry, Is.Not.Null);
    }

    [Test]
    public async Task Is_ended_by_the_server(CancellationToken stop)
    {
        ILockBackend locks = Open();
        await EnsureSessionAsync((AdvisoryLocks)locks, stop);
        await using var stopped = await CountAsync(stop);

        while (await LockTable.AskAsync(Database, "SELECT count(*) FROM pg_stat_activity WHERE pid = $1", stopped.ProcessID) is not 0L) stop.ThrowIfCancellationRequested();
        var standing = await locks.WaitQueue.EnqueueAsync(AddressOf(1), new(Name, Key), KeepsOne, blocks: false, stop);

        Assert.That(standing.Entry, Is.Not.Null);
    }

    /// <summary>Somebody has begun to count those who wait, and goes no further.</summary>
    private async Task<NpgsqlConnection> CountAsync(CancellationToken stop)
    {
        var stopped = await Raw.OpenAsync(Database, stop);
        await using var command = new NpgsqlCommand($"BEGIN; {EntrySql.LockForCounting.Replace("$1", $"({Key})", StringComparison.Ordinal)}", stopped);
        await command.ExecuteNonQueryAsync(stop);
        return stopped;
    }
}
