using JobLocks.Quartz.Tests.Support;
using JobLocks.Testing.Postgres;
using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>A run that is kept since the server of the locks cannot be asked is the same run when it comes.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class LockServerAwayTests : FamilyFixture
{
    private PostgresServer _server = null!;
    private string _store = "";

    [OneTimeTearDown]
    public async Task EndServer() => await _server.DisposeAsync();

    [Test]
    public async Task Settles_each_child_by_what_its_parent_comes_to_when_the_server_is_back(
        [Values] Store store, [Values(typeof(WaitingJob), typeof(ReschedulingJob), typeof(SkippingJob), typeof(FailingJob))] Type parent)
    {
        var node = await StartWatchedAsync(store, settings => settings with { StoreDatabase = _store });
        await _server.StopAsync();
        await ScheduleFamilyAsync(node, parent);
        await IsRefusedAsync(node, Scene.LockName);
        try
        {
            await AllChildrenAwaitAsync(node);
        }
        finally
        {
            await _server.StartAgainAsync();
        }

        Assert.That(await ChildrenThatRunAsync(node), Is.EqualTo(Expected(ContinuationCondition.OnSuccess)));
        Assert.That(Ran.Count(static job => job is Parent), Is.EqualTo(1));
    }

    [Test]
    public async Task Tells_listeners_and_history_nothing_until_the_server_is_back([Values] Store store)
    {
        var node = await StartWatchedAsync(store, settings => settings with { StoreDatabase = _store });
        await _server.StopAsync();
        await ScheduleAsync(node, typeof(WaitingJob));
        await IsRefusedAsync(node, Scene.LockName);
        var (heard, misfires) = (node.Heard.Lines, await node.MisfiresAsync());
        await _server.StartAgainAsync();
        var run = await RunEndsAsync(node);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(heard, Is.EquivalentTo(new[] { $"JobAdded {MyJob}", $"JobScheduled {Mine}" }));
            Assert.That(misfires, Is.Empty);
            Assert.That(run.Context.Trigger.Key, Is.EqualTo(Mine));
            Assert.That(run.Context.ScheduledFireTimeUtc, Is.EqualTo(Start));
        }
    }

    private protected override async Task<string> CreateDatabaseAsync()
    {
        _server = await PostgresServer.StartOwnAsync();
        _store = await AssemblySetup.Server.CreateDatabaseAsync(nameof(LockServerAwayTests));
        await using var first = await Node.StartAsync(new(_store, "prepare") { Store = Store.Ado, IsStarted = false });
        return await _server.CreateDatabaseAsync("away");
    }
}
