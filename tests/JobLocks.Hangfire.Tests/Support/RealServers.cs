namespace JobLocks.Hangfire.Tests.Support;

/// <summary>A fixture with a database of its own and two servers over it, or as many as it says. After each test no lock may be left.</summary>
public abstract class RealServers
{
    private readonly List<Stage> _stages = [];

    internal HangfireServers Servers { get; private set; } = null!;

    [OneTimeSetUp]
    public async Task StartServers() => Servers = await StartAsync();

    [OneTimeTearDown]
    public async Task StopServers()
    {
        if (Servers is not null) await Servers.DisposeAsync();
        await StoppedAsync();

        if (Servers is not null) Assert.That(await AssemblySetup.Databases.CallsAsync(Servers.Database), Is.Empty, "functions and operators of a stranger that were called");
    }

    [TearDown]
    public async Task Leaves_no_lock_behind()
    {
        foreach (var stage in _stages) stage.LetLeave();
        var left = await Patience.UntilAsync(Servers.Locks.HeldAsync, static held => held.Count == 0, CancellationToken.None);

        Assert.That(left, Is.Empty);
    }

    private protected virtual HangfireSetup Setup => new();

    private protected virtual async Task<HangfireServers> StartAsync() =>
        HangfireServers.Start(await AssemblySetup.Databases.CreateAsync(GetType().Name), Setup);

    private protected virtual ValueTask StoppedAsync() => ValueTask.CompletedTask;

    private protected Stage NewStage()
    {
        var stage = Stage.Open();
        _stages.Add(stage);
        return stage;
    }

    /// <summary>A run that has the lock of a stage, and one that waits for it: both can be seen by whoever looks.</summary>
    private protected async Task<(string Held, string Waiting)> HoldAndWaitAsync(Stage stage, CancellationToken stop)
    {
        var held = Servers.EnqueueFor<WaitingJob>(Servers[0], job => job.Run(stage.Id));
        await stage.EnteredAsync(stop);
        var waiting = Servers.EnqueueFor<WaitingJob>(Servers[1], job => job.Run(stage.Id));
        await Servers.ParkedAsync(waiting, stop);
        await Servers.Locks.WrittenDownAsync(stage.Key, stop);
        return (held, waiting);
    }
}
