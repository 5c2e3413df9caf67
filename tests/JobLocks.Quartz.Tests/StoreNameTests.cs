using JobLocks.Quartz.Tests.Support;
using Npgsql;
using Quartz;

namespace JobLocks.Quartz.Tests;

/// <summary>A job store keeps its name in the wait queue whatever is done to it, and a copy has another one.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class StoreNameTests : QuartzFixture
{
    [Test]
    public async Task Keeps_its_name_when_it_is_cleared_and_another_process_comes([Values] bool byHand)
    {
        await using var others = await OthersHoldAsync();
        var old = await StartNodeAsync(Store.Ado, settings => settings with { ByHand = byHand });
        await WaitOnAsync(old);
        var before = await NameAsync();

        await old.Scheduler.Clear();
        await Eventually.IsTrueOf(LineAsync, static count => count == 0, "runs in line");
        // A scheduler that was built without JobLocks keeps the name in the store, and writes it down again.
        if (byHand) await Eventually.IsTrueOf(async () => await old.Scheduler.GetJobDetail(new("store", "joblocks")), static mark => mark is not null, "the name in the store");
        var young = await StartNodeAsync(Store.Ado, settings => settings with { ByHand = byHand });
        await EndAsync(old);
        await WaitOnAsync(young);

        Assert.That(await NameAsync(), Is.EqualTo(before));
    }

    [Test]
    public async Task Runs_what_is_scheduled_anew_after_a_process_has_cleared_the_store_at_its_start()
    {
        var others = await OthersHoldAsync();
        var old = await StartNodeAsync(Store.Ado);
        await WaitOnAsync(old);
        await EndAsync(old);
        var young = await StartNodeAsync(Store.Ado, static settings => settings with { IsStarted = false });
        await young.Scheduler.Clear();
        await young.Scheduler.Start();

        await young.RunAsync<JoiningJob>(Scene);
        await Eventually.IsTrueOf(
            async () => (long)(await AskAsync($"SELECT count(*) FROM joblocks.line WHERE parked AND name = '{Scene.LockName}'"))!, static count => count == 1, "runs in line");
        await others.DisposeAsync();

        await Scene.NextRunAsync();
        await LineEndsAsync();
    }

    [Test]
    public async Task Runs_what_waits_where_the_line_was_emptied([Values] Store store, [Values] bool byHand, [Values] bool goesOnFiring)
    {
        var others = await OthersHoldAsync();
        var node = await StartNodeAsync(store, settings => settings with { ByHand = byHand });
        if (goesOnFiring) await node.RunAsync<WaitingJob>(Scene, static trigger => trigger.WithSimpleSchedule(static daily => daily.WithInterval(TimeSpan.FromDays(1)).RepeatForever()));
        else await node.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(1);

        await AskAsync($"DELETE FROM joblocks.line WHERE name = '{Scene.LockName}'");
        await others.DisposeAsync();

        await Scene.NextRunAsync();
    }

    [Test]
    public async Task Is_two_stores_when_a_copy_is_restored_into_another_database()
    {
        await using var others = await OthersHoldAsync();
        var (original, copy) = (Named("original"), Named("copy"));
        await AskAsync($"CREATE DATABASE \"{original.Database}\"");
        var node = await StartNodeAsync(Store.Ado, settings => settings with { StoreDatabase = original.ConnectionString });
        await WaitOnAsync(node);
        await EndAsync(node);
        NpgsqlConnection.ClearAllPools();
        await AskAsync($"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{original.Database}'");
        await AskAsync($"CREATE DATABASE \"{copy.Database}\" TEMPLATE \"{original.Database}\"");

        var restored = await StartNodeAsync(Store.Ado, settings => settings with { StoreDatabase = copy.ConnectionString });
        await restored.RunAsync<WaitingJob>(Scene);

        await Eventually.IsTrueOf(StoresAsync, static count => count == 2, "stores");
    }

    [Test]
    public async Task Is_one_store_for_all_nodes_and_another_for_a_scheduler_of_another_name()
    {
        await using var others = await OthersHoldAsync();
        var first = await StartNodeAsync(Store.Ado);
        var second = await StartNodeAsync(Store.Ado);
        var other = await StartNodeAsync(Store.Ado, static settings => settings with { Cluster = settings.Cluster + "-other" });
        await WaitOnAsync(first);
        await WaitOnAsync(second, count: 2);
        var ofCluster = await StoresAsync();
        await WaitOnAsync(other, count: 3);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(ofCluster, Is.EqualTo(1));
            Assert.That(await StoresAsync(), Is.EqualTo(2));
        }
    }

    private async Task WaitOnAsync(Node node, int count = 1)
    {
        await node.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(count);
    }

    private async Task<string> NameAsync() => (string)(await AskAsync($"SELECT store FROM joblocks.line WHERE name = '{Scene.LockName}'"))!;

    private async Task<long> StoresAsync() => (long)(await AskAsync($"SELECT count(DISTINCT store) FROM joblocks.line WHERE name = '{Scene.LockName}'"))!;

    private NpgsqlConnectionStringBuilder Named(string suffix)
    {
        var own = new NpgsqlConnectionStringBuilder(Database);
        own.Database += $"_{suffix}";
        return own;
    }
}
