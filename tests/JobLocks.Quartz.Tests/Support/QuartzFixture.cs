using JobLocks.Testing.Postgres;

namespace JobLocks.Quartz.Tests.Support;

/// <summary>A database of its own, nodes that end with the test, and the proof that no lock is left.</summary>
public abstract class QuartzFixture
{
    private readonly List<(Node Node, AdvisoryLocks? Lent)> _nodes = [];
    private readonly Stack<AdvisoryLocks> _idle = [];
    private string _cluster = "";

    internal string Database { get; private set; } = "";

    internal Scene Scene { get; private set; } = null!;

    /// <summary>Somebody else, in another process as far as PostgreSQL can tell. The same one in all tests of the fixture: a session is dear.</summary>
    internal AdvisoryLocks Others { get; private set; } = null!;

    [OneTimeSetUp]
    public async Task PrepareDatabase()
    {
        Database = await CreateDatabaseAsync();
        // Two nodes that prepare the tables at the same time would be in each other's way.
        await using var first = await Node.StartAsync(new(Database, "prepare") { Store = Store.Ado, IsStarted = false });
        Others = AdvisoryLocks.Connect(Database, static options => options.ApplicationName = "others");
    }

    [OneTimeTearDown]
    public async Task EndOthers()
    {
        await Others.DisposeAsync();
        foreach (var locks in _idle) await locks.DisposeAsync();

        Assert.That(await AssemblySetup.Databases.CallsAsync(Database), Is.Empty, "functions and operators of a stranger that were called");
    }

    [SetUp]
    public void PrepareTest()
    {
        _cluster = Guid.NewGuid().ToString("N");
        Scene = new();
    }

    [TearDown]
    public async Task LeavesNoLock()
    {
        var isClean = false;
        try
        {
            foreach (var (node, _) in _nodes) await node.IsIdleAsync();
            await Eventually.IsTrueOf(CountLocksAsync, static count => count == 0, "locks in the database");
            isClean = true;
        }
        finally
        {
            foreach (var (node, lent) in _nodes)
            {
                await node.DisposeAsync();
                if (lent is null) continue;
                if (isClean) _idle.Push(lent);
                else await lent.DisposeAsync();
            }

            _nodes.Clear();
            Scene.Dispose();
        }
    }

    private protected virtual Task<string> CreateDatabaseAsync() => AssemblySetup.Databases.CreateAsync(GetType().Name);

    /// <summary>A node of this test's cluster. Its end is this fixture's business. A session is dear, and so the next test has the same one.</summary>
    private protected async Task<Node> StartNodeAsync(Store store, Func<NodeSettings, NodeSettings>? set = null)
    {
        var settings = new NodeSettings(Database, _cluster) { Store = store };
        settings = set?.Invoke(settings) ?? settings;
        if (settings is { Loggers: null, IsBare: false } && string.Equals(settings.Database, Database, StringComparison.Ordinal))
            settings = settings with { Locks = _idle.TryPop(out var idle) ? idle : AdvisoryLocks.Connect(Database, Node.SetUp) };
        var node = await Node.StartAsync(settings);
        _nodes.Add((node, settings.Locks));
        return node;
    }

    /// <summary>Ends a node inside of a test, and its session with it.</summary>
    private protected async Task EndAsync(Node node)
    {
        var ended = _nodes.Find(one => one.Node == node);
        _nodes.Remove(ended);
        await node.DisposeAsync();
        if (ended.Lent is { } lent) await lent.DisposeAsync();
    }

    private protected Task<JobLockHandle?> OthersTryAsync() => Others.TryAcquireAsync(Scene.LockName);

    /// <summary>Takes the lock for somebody else. What a run released just before may still be on its way to the server.</summary>
    private protected Task<JobLockHandle> OthersHoldAsync() => Others.AcquireAsync(Scene.LockName, Eventually.Patience);

    /// <summary>Waits for the lock to be free, and leaves it so.</summary>
    private protected async Task LockIsFreeAsync() => await (await Others.AcquireAsync(Scene.LockName, Eventually.Patience)).DisposeAsync();

    /// <summary>Waits until the server has no lock of the scene: releasing does not wait for it.</summary>
    private protected Task NothingIsHeldAsync() => Eventually.IsTrueOf(
        async () => (long)(await AskAsync($"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND (classid::bigint << 32) | objid::bigint = {LockKey.Of(Scene.LockName)}"))!,
        static held => held == 0,
        "the lock is free");

    /// <summary>How many stand in the line of the scene.</summary>
    private protected async Task<long> LineAsync() => (long)(await AskAsync($"SELECT count(*) FROM joblocks.wait_queue WHERE name = '{Scene.LockName}'"))!;

    /// <summary>Waits until so many are parked in the line of the scene, whichever node has seen to it.</summary>
    private protected Task ParkedAsync(long count) => Eventually.IsTrueOf(
        async () => (long)(await AskAsync($"SELECT count(*) FROM joblocks.wait_queue WHERE parked AND name = '{Scene.LockName}'"))!,
        parked => parked == count,
        "runs in line");

    /// <summary>Waits until so many processes show that they can start runs.</summary>
    private protected Task ServedByAsync(long count) => Eventually.IsTrueOf(
        async () => (long)(await AskAsync(
            "SELECT count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1246524276 AND objsubid = 2 AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"))!,
        served => served == count,
        "processes that can start runs");

    private protected Task LineEndsAsync() => Eventually.IsTrueOf(LineAsync, static count => count == 0, "runs in line");

    private protected Task<object?> AskAsync(string sql) => DatabaseState.ReadAsync(Database, sql);

    private async Task<long> CountLocksAsync() => (long)(await AskAsync(
        """
        SELECT count(*)
        FROM   pg_locks
        WHERE  locktype = 'advisory'
        AND    NOT (objsubid = 2 AND classid IN (1246524279, 1246524276)) -- who sweeps the wait queue, and who serves a store
        AND    database = (SELECT oid FROM pg_database WHERE datname = current_database())
        """))!;
}
