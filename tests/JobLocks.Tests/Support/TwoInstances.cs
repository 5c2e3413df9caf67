namespace JobLocks.Tests.Support;

/// <summary>A database, two instances that are two processes to the server in all tests of the fixture, and a look at the lock table after each test.</summary>
public abstract class TwoInstances
{
    private protected static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private protected string Database { get; private set; } = "";

    private protected AdvisoryLocks Locks { get; private set; } = null!;

    private protected AdvisoryLocks Others { get; private set; } = null!;

    /// <summary>A lock name that no other test has.</summary>
    private protected string Name { get; private set; } = "";

    [OneTimeSetUp]
    public async Task Connect()
    {
        Database = await AssemblySetup.Server.CreateDatabaseAsync(GetType().Name);
        Locks = AdvisoryLocks.Connect(Database);
        Others = AdvisoryLocks.Connect(Database);
    }

    [OneTimeTearDown]
    public async Task Ends_without_a_lock()
    {
        await Locks.DisposeAsync();
        await Others.DisposeAsync();

        Assert.That(await LockTable.CountLeftAsync(Database), Is.Zero);
    }

    [SetUp]
    public void ChooseName() => Name = $"sync({Guid.NewGuid():N})";

    // The sessions still stand: what is left now was given back by nobody.
    [TearDown]
    public async Task Leaves_no_lock_behind()
    {
        var left = await LockTable.CountLeftAsync(Database);
        if (left > 0)
        {
            // The next test is not to fail with this one.
            await Locks.DisposeAsync();
            await Others.DisposeAsync();
            (Locks, Others) = (AdvisoryLocks.Connect(Database), AdvisoryLocks.Connect(Database));
        }

        Assert.That(left, Is.Zero, "the test has given all back");
    }

    /// <summary>What an instance has given back so far, the server has too: it is told in order.</summary>
    private protected static async Task SettleAsync(IJobLocks locks, CancellationToken stop)
    {
        await using var handle = await locks.TryAcquireAsync($"settled({Guid.NewGuid():N})", stop);
        Assert.That(handle, Is.Not.Null);
    }
}
