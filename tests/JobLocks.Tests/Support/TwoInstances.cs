namespace JobLocks.Tests.Support;

/// <summary>A database, two instances that are two processes to the server, and a look at its lock table after each test.</summary>
public abstract class TwoInstances
{
    private protected static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private protected string Database { get; private set; } = "";

    private protected AdvisoryLocks Locks { get; private set; } = null!;

    private protected AdvisoryLocks Others { get; private set; } = null!;

    /// <summary>A lock name that no other test has.</summary>
    private protected string Name { get; private set; } = "";

    [OneTimeSetUp]
    public async Task CreateDatabase() => Database = await AssemblySetup.Server.CreateDatabaseAsync(GetType().Name);

    [SetUp]
    public void Connect()
    {
        Locks = AdvisoryLocks.Connect(Database);
        Others = AdvisoryLocks.Connect(Database);
        Name = $"sync({Guid.NewGuid():N})";
    }

    [TearDown]
    public async Task Leaves_no_lock_behind()
    {
        // Asked while the sessions still stand: what is left now was given back by nobody.
        var left = await LockTable.CountLeftAsync(Database);
        await Locks.DisposeAsync();
        await Others.DisposeAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(left, Is.Zero, "the test has given all back");
            Assert.That(await LockTable.CountLeftAsync(Database), Is.Zero);
        }
    }

    /// <summary>What an instance has given back so far, the server has too: it is told in order.</summary>
    private protected static async Task SettleAsync(IJobLocks locks, CancellationToken stop)
    {
        await using var handle = await locks.TryAcquireAsync($"settled({Guid.NewGuid():N})", stop);
        Assert.That(handle, Is.Not.Null);
    }
}
