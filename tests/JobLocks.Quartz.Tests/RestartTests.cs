using JobLocks.Quartz.Tests.Support;
using JobLocks.Testing.Postgres;

namespace JobLocks.Quartz.Tests;

/// <summary>PostgreSQL goes and comes back.</summary>
public sealed class RestartTests : QuartzFixture
{
    private PostgresServer _server = null!;

    [OneTimeTearDown]
    public async Task EndServer() => await _server.DisposeAsync();

    [Test]
    public async Task Loses_no_run_and_runs_none_unlocked_when_the_database_restarts([Values] bool immediate)
    {
        var nodes = new[] { await StartNodeAsync(Store.Ado), await StartNodeAsync(Store.Ado) };
        Scene.Act = run => Scene.Begun == 1 ? run.UntilToldOrStoppedAsync() : Task.CompletedTask;
        await nodes[0].RunAsync<ReschedulingJob>(Scene);
        var held = await Scene.NextRunAsync();
        await nodes[1].RunAsync<ReschedulingJob>(Scene);
        await Task.WhenAny(nodes.Select(static node => node.Told.NextPutBackAsync()));

        await _server.RestartAsync(immediate);
        var waited = await Scene.NextRunAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(held.Stop.IsCancellationRequested, Is.True);
            Assert.That(waited.Handle, Is.Not.Null);
            Assert.That(Scene.MostAtOnce, Is.EqualTo(1));
            Assert.That(Scene.Begun, Is.EqualTo(2));
        }
    }

    [Test]
    public async Task Keeps_the_wait_queue_and_its_order_when_the_database_restarts([Values] bool immediate)
    {
        var nodes = new[] { await StartNodeAsync(Store.Ado), await StartNodeAsync(Store.Ado) };
        Scene.Act = run => Scene.Begun == 1 ? run.UntilToldOrStoppedAsync() : Task.CompletedTask;
        await nodes[0].RunAsync<WaitingJob>(Scene);
        var held = await Scene.NextRunAsync();
        for (var waiting = 1; waiting <= 3; waiting++)
        {
            await nodes[waiting % 2].RunAsync<WaitingJob>(Scene, trigger => trigger.UsingJobData("number", waiting));
            await ParkedAsync(waiting);
        }

        await _server.RestartAsync(immediate);
        var order = new List<object?>();
        for (var waiting = 1; waiting <= 3; waiting++) order.Add((await Scene.NextRunAsync()).Context.MergedJobDataMap["number"]);
        await LineEndsAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(held.Stop.IsCancellationRequested, Is.True);
            Assert.That(order, Is.EqualTo(Enumerable.Range(1, 3)));
            Assert.That(Scene.MostAtOnce, Is.EqualTo(1));
            Assert.That(Scene.Begun, Is.EqualTo(4));
        }
    }

    [Test]
    public async Task Keeps_a_run_while_the_lock_store_cannot_be_reached()
    {
        var lines = new LogLines();
        var node = await StartNodeAsync(Store.Ram, settings => settings with { Loggers = lines });
        await _server.StopAsync();

        await node.RunAsync<SkippingJob>(Scene);
        var said = await lines.NextAsync("is rescheduled to").Soon();
        await _server.StartAgainAsync();
        var run = await Scene.NextRunAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(said, Does.Contain("could not be requested"));
            Assert.That(run.Handle, Is.Not.Null);
            Assert.That(Scene.Begun, Is.EqualTo(1));
        }
    }

    private protected override async Task<string> CreateDatabaseAsync()
    {
        _server = await PostgresServer.StartOwnAsync();
        return await _server.CreateDatabaseAsync("restart");
    }
}
