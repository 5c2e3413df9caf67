using JobLocks.Testing.Postgres;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Postgres;

/// <summary>The statement for one exclusive lock does what the general statement does, also where it leaves a part to it.</summary>
[TestFixture]
public sealed class UncontestedTests : TwoInstances
{
    private const string WaiterSignals =
        """
        SELECT count(*)
        FROM   pg_locks
        WHERE  locktype = 'advisory'
        AND    objsubid = 2
        AND    classid = 1246525300
        AND    objid::bigint = $1 & 2147483647
        AND    granted
        """;

    [Test, CancelAfter(60_000)]
    public async Task Grants_the_lock_to_a_waiter_of_another_process_when_its_holder_requests_another_lock_at_once(CancellationToken stop)
    {
        for (var round = 0; round < 3; round++)
        {
            // A session does not use the statement for a while after such a release.
            await using var locks = AdvisoryLocks.Connect(Database);
            var held = await locks.TryAcquireAsync(Name, stop);
            var waiting = Others.AcquireAsync(Name, Patience, stop);
            while (await LockTable.AskAsync(Database, WaiterSignals, LockKey.Of(Name).Value) is not 1L) await Task.Delay(DatabaseState.LookAgainAfter, stop);

            await held!.DisposeAsync();
            await using var other = await locks.TryAcquireAsync($"{Name}, too", stop);

            Assert.That(other, Is.Not.Null);
            await (await waiting).DisposeAsync();
        }
    }

    [Test, CancelAfter(60_000)]
    public async Task Grants_growing_tokens_whichever_statement_grants_the_lock(CancellationToken stop)
    {
        var tokens = new List<long>();
        for (var round = 0; round < 40; round++)
        {
            var locks = round % 2 == 0 ? Locks : Others;
            await using var handle = await locks.AcquireAsync(Name, round % 3 == 0 ? LockMode.Shared : LockMode.Exclusive, Patience, stop);
            tokens.Add(handle.FencingToken);
        }

        Assert.That(tokens, Is.Ordered.Ascending);
        Assert.That(tokens, Is.Unique);
        Assert.That(tokens[0], Is.Positive);
    }

    [Test, CancelAfter(60_000)]
    public async Task Releases_the_lock_although_the_next_one_is_refused(CancellationToken stop)
    {
        await using var held = await Others.TryAcquireAsync($"{Name}, held", stop);
        var released = await Locks.TryAcquireAsync(Name, stop);

        await released!.DisposeAsync();
        await using var refused = await Locks.TryAcquireAsync($"{Name}, held", stop);
        await using var next = await Others.TryAcquireAsync(Name, stop);

        Assert.That(refused, Is.Null);
        Assert.That(next, Is.Not.Null);
    }
}
