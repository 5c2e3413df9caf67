using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests;

/// <summary>Schedulers of one name whose job stores are in different places: under another table prefix, or in another database.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class StoreLocationTests : QuartzFixture
{
    [Test]
    public async Task Drops_no_run_and_keeps_no_free_lock_on_account_of_runs_under_a_former_table_prefix()
    {
        using Scene replaced = new(), skipped = new();
        var held = await Others.TryAcquireAllAsync([Scene.LockName, replaced.LockName]);
        var free = await Others.TryAcquireAsync(skipped.LockName);
        var former = await StartNodeAsync(Store.Ado);
        await former.RunAsync<JoiningJob>(Scene);
        await former.RunAsync<ReplacingJob>(replaced);
        await former.RunAsync<WaitingJob>(skipped);
        foreach (var scene in new[] { Scene, replaced, skipped }) await ParkedAsync(scene, 1);
        await EndAsync(former);
        await free!.DisposeAsync();

        await using (await Others.AcquireAsync(skipped.LockName, TimeSpan.FromSeconds(10)))
        {
        }

        var young = await StartNodeAsync(Store.Ado, static settings => settings with { TablePrefix = "young_" });
        await young.RunAsync<SkippingJob>(skipped);
        await skipped.NextRunAsync();
        await young.RunAsync<JoiningJob>(Scene);
        await young.RunAsync<ReplacingJob>(replaced);
        foreach (var scene in new[] { Scene, replaced }) await ParkedAsync(scene, 2);
        var verdicts = await AskAsync($"SELECT count(*) FROM joblocks.wait_queue WHERE verdict IS NOT NULL AND name IN ('{Scene.LockName}', '{replaced.LockName}')");
        var shown = (await Others.Inspector.GetNameAsync(LockKey.Of(Scene.LockName))).Waiting.Items;
        await held!.DisposeAsync();
        foreach (var scene in new[] { Scene, replaced }) await scene.NextRunAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(verdicts, Is.Zero);
            Assert.That(shown.Select(static run => run.IsServed), Is.EqualTo([false, true]));
        }

        await StartNodeAsync(Store.Ado);
        foreach (var scene in new[] { Scene, replaced, skipped }) await scene.NextRunAsync();
        await LineEndsAsync();
        Assert.That((Scene.Begun, replaced.Begun, skipped.Begun), Is.EqualTo((2, 2, 2)));
    }

    [Test]
    public async Task Wakes_of_two_schedulers_of_one_name_in_two_databases_each_for_its_own_run([Values] bool isOneCleared)
    {
        var others = await OthersHoldAsync();
        Node[] nodes = [await StartAsync("one"), await StartAsync("two")];
        foreach (var node in nodes) await ScheduleAsync(node);
        await ParkedAsync(2);
        var (stores, names) = (await AskAsync($"SELECT count(DISTINCT store) FROM joblocks.wait_queue WHERE name = '{Scene.LockName}'"), await AskAsync($"SELECT count(DISTINCT run) FROM joblocks.wait_queue WHERE name = '{Scene.LockName}'"));

        if (isOneCleared)
        {
            await nodes[0].Scheduler.Clear();
            await Eventually.IsTrueOf(LineAsync, static count => count == 1, "runs in line");
        }

        await others.DisposeAsync();
        var ran = new List<string>();
        for (var i = isOneCleared ? 1 : 0; i < nodes.Length; i++) ran.Add((await Scene.NextRunAsync()).Context.Scheduler.SchedulerInstanceId);
        await LineEndsAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That((stores, names), Is.EqualTo((2L, 1L)));
            Assert.That(ran, Is.EquivalentTo(nodes.Skip(isOneCleared ? 1 : 0).Select(static node => node.Scheduler.SchedulerInstanceId)));
            Assert.That(Scene.Begun, Is.EqualTo(ran.Count));
        }
    }

    private async Task<Node> StartAsync(string database)
    {
        var own = await AssemblySetup.Server.CreateDatabaseAsync($"{nameof(StoreLocationTests)}{database}");
        return await StartNodeAsync(Store.Ado, settings => settings with { StoreDatabase = own });
    }

    /// <summary>Under the same keys in each store.</summary>
    private async Task ScheduleAsync(Node node)
    {
        var job = JobBuilder.Create<WaitingJob>().WithIdentity("the job").Build();
        await node.Scheduler.ScheduleJob(job, TriggerBuilder.Create().WithIdentity("the trigger").ForJob(job).UsingJobData(Scene.Key, Scene.Id).StartNow().Build());
    }

    private Task<long> ParkedAsync(Scene scene, long count) => Eventually.IsTrueOf(
        async () => (long)(await AskAsync($"SELECT count(*) FROM joblocks.wait_queue WHERE parked AND name = '{scene.LockName}'"))!, parked => parked == count, "runs in line");
}
