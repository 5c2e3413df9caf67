using JobLocks.Gate;
using JobLocks.Locks;
using JobLocks.Tests.Support;

namespace JobLocks.Tests.Inspection;

/// <summary>A prepared transaction holds the lock of a name: no backend is behind it.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class PreparedTransactionTests
{
    private readonly string _transaction = $"prepared_{Guid.NewGuid():N}";
    private string _database = "";

    [OneTimeSetUp]
    public async Task Prepare()
    {
        _database = await AssemblySetup.Server.CreateDatabaseAsync("prepared");
        if (await LockTable.AskAsync(_database, "SELECT current_setting('max_prepared_transactions')") is "0") Assert.Ignore("The server allows no prepared transactions.");

        await using var session = await Raw.OpenAsync(_database, CancellationToken.None);
        await session.AskAsync("BEGIN", CancellationToken.None);
        await session.AskAsync($"SELECT pg_advisory_xact_lock({LockKey.Of("prepared")})", CancellationToken.None);
        await session.AskAsync($"PREPARE TRANSACTION '{_transaction}'", CancellationToken.None);
    }

    [OneTimeTearDown]
    public async Task RollBack()
    {
        if (await LockTable.AskAsync(_database, $"SELECT count(*) FROM pg_prepared_xacts WHERE gid = '{_transaction}'") is 1L) await LockTable.AskAsync(_database, $"ROLLBACK PREPARED '{_transaction}'");
    }

    [Test]
    public async Task Is_named_as_the_holder_where_a_run_is_refused(CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(_database);

        var handle = await locks.TryAcquireAsync("prepared", stop);
        var holder = await ((ILockBackend)locks).FindHolderAsync(new LockRequest("prepared", LockKey.Of("prepared")), blocks: false, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(handle, Is.Null);
            Assert.That(holder!.ToString(), Does.Contain("a prepared transaction"));
        }
    }

    [Test]
    public async Task Is_none_of_JobLocks_for_whoever_asks_for_its_lock(CancellationToken stop)
    {
        await using var locks = AdvisoryLocks.Connect(_database);

        var answer = await locks.Inspector.RequestReleaseAsync(LockKey.Of("prepared"), "Ann", TimeSpan.FromSeconds(5), stop);

        Assert.That(answer, Is.EqualTo(ReleaseAnswer.IsForeign));
    }
}
