using System.Globalization;
using JobLocks.Quartz.Tests.Support;
using JobLocks.Quartz.Waiting;
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
            async () => (long)(await AskAsync($"SELECT count(*) FROM joblocks.wait_queue WHERE parked AND name = '{Scene.LockName}'"))!, static count => count == 1, "runs in line");
        await others.DisposeAsync();

        await Scene.NextRunAsync();
        await LineEndsAsync();
    }

    [Test]
    public async Task Runs_what_waits_where_the_wait_queue_was_emptied([Values] Store store, [Values] bool byHand, [Values] bool goesOnFiring)
    {
        var others = await OthersHoldAsync();
        var node = await StartNodeAsync(store, settings => settings with { ByHand = byHand });
        if (goesOnFiring) await node.RunAsync<WaitingJob>(Scene, static trigger => trigger.WithSimpleSchedule(static daily => daily.WithInterval(TimeSpan.FromDays(1)).RepeatForever()));
        else await node.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(1);

        await AskAsync($"DELETE FROM joblocks.wait_queue WHERE name = '{Scene.LockName}'");
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

    [Test]
    public async Task Is_one_store_for_a_node_that_may_not_read_the_number_of_the_cluster([Values] bool isFirst)
    {
        var limited = await LimitedRoleAsync();
        var others = await OthersHoldAsync();
        var first = await StartNodeAsync(Store.Ado, settings => isFirst ? settings with { StoreDatabase = limited } : settings);
        await WaitOnAsync(first);
        var second = await StartNodeAsync(Store.Ado, settings => isFirst ? settings : settings with { StoreDatabase = limited });
        await WaitOnAsync(second, count: 2);

        await Eventually.IsTrueOf(StoresAsync, static count => count == 1, "stores");
        var (places, begunMeanwhile) = (await LineAsync(), Scene.Begun);
        await others.DisposeAsync();

        for (var i = 0; i < 2; i++) await Scene.NextRunAsync();
        await LineEndsAsync();
        Assert.That((places, begunMeanwhile, Scene.Begun), Is.EqualTo((2L, 0, 2)));
    }

    [Test]
    public async Task Is_one_store_for_two_nodes_that_may_not_read_the_number_of_the_cluster_and_each_wrote_down_another()
    {
        var limited = await LimitedRoleAsync();
        await using var others = await OthersHoldAsync();
        var first = await StartNodeAsync(Store.Ado, settings => settings with { StoreDatabase = limited });
        await WaitOnAsync(first);
        var place = await PlaceAsync();
        // As a node does that started at the same moment, and saw none there.
        await AskAsync(
            $"INSERT INTO qrtz_locks SELECT sched_name, regexp_replace(lock_name, 'r[0-9a-f]{{14}}/', 'r00000000000000/') FROM qrtz_locks WHERE sched_name = '{first.Scheduler.SchedulerName}' AND lock_name LIKE 'JOBLOCKS r%'");

        var second = await StartNodeAsync(Store.Ado, settings => settings with { StoreDatabase = limited });
        await WaitOnAsync(second, count: 2);
        await Eventually.IsTrueOf(StoresAsync, static count => count == 1, "stores");

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await NameAsync(), Does.Contain(" in r00000000000000/"));
            Assert.That((await LineAsync(), await PlaceAsync(), Scene.Begun), Is.EqualTo((2L, place, 0)));
        }
    }

    [Test]
    public async Task Is_one_store_for_a_node_that_knows_its_mark_and_one_that_knows_where_it_is([Values] bool markIsFirst)
    {
        var others = await OthersHoldAsync();
        var first = await StartNodeAsync(Store.Ado, settings => settings with { ByHand = markIsFirst });
        await WaitOnAsync(first);
        var place = await PlaceAsync();
        var second = await StartNodeAsync(Store.Ado, settings => settings with { ByHand = !markIsFirst });
        await WaitOnAsync(second, count: 2);

        await Eventually.IsTrueOf(StoresAsync, static count => count == 1, "stores");
        var (name, firstPlace, begunMeanwhile) = (await NameAsync(), await PlaceAsync(), Scene.Begun);
        await others.DisposeAsync();

        for (var i = 0; i < 2; i++) await Scene.NextRunAsync();
        await LineEndsAsync();
        using (Assert.EnterMultipleScope())
        {
            Assert.That(name, Does.EndWith(".qrtz_"));
            Assert.That((firstPlace, begunMeanwhile, Scene.Begun), Is.EqualTo((place, 0, 2)));
        }
    }

    [Test]
    public async Task Keeps_the_position_of_a_run_that_was_parked_before_the_scheduler_was_built_with_JobLocks()
    {
        var others = await OthersHoldAsync();
        var byHand = await StartNodeAsync(Store.Ado, static settings => settings with { ByHand = true });
        await WaitOnAsync(byHand);
        await EndAsync(byHand);
        var built = await StartNodeAsync(Store.Ado);
        var second = await built.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(2);
        await Eventually.IsTrueOf(StoresAsync, static count => count == 1, "stores");

        await others.DisposeAsync();
        var (firstRun, secondRun) = (await Scene.NextRunAsync(), await Scene.NextRunAsync());
        await LineEndsAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(firstRun.Context.Trigger.Key.Group, Is.EqualTo("joblocks"));
            Assert.That(secondRun.Context.Trigger.Key, Is.EqualTo(second.Key));
            Assert.That(Scene.Begun, Is.EqualTo(2));
        }
    }

    [Test]
    public async Task Keeps_the_schedule_of_a_trigger_that_was_held_when_the_scheduler_was_built_without_JobLocks_again([Values] bool isCron)
    {
        var others = await OthersHoldAsync();
        var built = await StartNodeAsync(Store.Ado);
        var held = await built.RunAsync<WaitingJob>(Scene, trigger => Daily(trigger, isCron));
        await ParkedAsync(1);
        await EndAsync(built);
        var byHand = await StartNodeAsync(Store.Ado, static settings => settings with { ByHand = true });

        await others.DisposeAsync();
        await Scene.NextRunAsync();
        await byHand.IsIdleAsync();
        var goesOn = await byHand.Scheduler.GetTrigger(held.Key);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(goesOn?.NextFireTimeUtc, Is.EqualTo(held.GetFireTimeAfter(DateTimeOffset.UtcNow)));
            Assert.That(goesOn?.RetryAttempt, Is.Zero);
            Assert.That(Scene.Begun, Is.EqualTo(1));
        }
    }

    [Test]
    public async Task Is_one_store_for_two_nodes_that_write_their_marks_at_the_same_moment()
    {
        var node = await StartNodeAsync(Store.Ado);
        var quicker = new StoreIdInJob(node.JobStore.Triggers);
        var ofQuicker = "";
        var slower = new StoreIdInJob(Proxy.Before(node.JobStore.Triggers, (member, ask) => member is nameof(IStoredTriggers.AddJobAsync) ? new ValueTask(AddAsync(ask)) : ask()));

        var ofSlower = await slower.ReadAsync(known: null, CancellationToken.None);

        Assert.That(ofSlower, Is.EqualTo(ofQuicker).And.Not.Empty);

        async Task AddAsync(Func<object?> add)
        {
            ofQuicker = await quicker.ReadAsync(known: null, CancellationToken.None);
            await (ValueTask)add()!;
        }
    }

    [Test]
    public async Task Is_called_by_its_mark_alone_as_the_nodes_agree_that_know_where_it_is()
    {
        var node = await StartNodeAsync(Store.Ado);
        StoreIdInJob[] nodes = [new(node.JobStore.Triggers), new(node.JobStore.Triggers)];
        var before = new List<string>();
        foreach (var marked in nodes) before.Add(await marked.ReadAsync(known: null, CancellationToken.None));

        var replaced = await nodes[0].ReplaceIdAsync("where it is", CancellationToken.None);
        var replacedAgain = await nodes[1].ReplaceIdAsync("where it is", CancellationToken.None);
        var after = new List<string>();
        foreach (var marked in nodes) after.Add(await marked.ReadAsync(before[0], CancellationToken.None));

        using (Assert.EnterMultipleScope())
        {
            Assert.That((replaced, replacedAgain), Is.EqualTo((before[0], (string?)null)));
            Assert.That(after, Is.All.EqualTo("where it is"));
        }
    }

    [Test]
    public async Task Keeps_the_entries_of_its_runs_when_its_database_was_dropped_and_restored()
    {
        await using var others = await OthersHoldAsync();
        var (own, dump) = (Named("dropped"), Named("dump"));
        await AskAsync($"CREATE DATABASE \"{own.Database}\"");
        var old = await StartNodeAsync(Store.Ado, settings => settings with { StoreDatabase = own.ConnectionString });
        await WaitOnAsync(old);
        var (before, place) = (await NameAsync(), await PlaceAsync());
        await EndAsync(old);
        NpgsqlConnection.ClearAllPools();
        await AskAsync($"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{own.Database}'");
        await AskAsync($"CREATE DATABASE \"{dump.Database}\" TEMPLATE \"{own.Database}\"");
        await AskAsync($"DROP DATABASE \"{own.Database}\"");
        await AskAsync($"CREATE DATABASE \"{own.Database}\" TEMPLATE \"{dump.Database}\"");

        await StartNodeAsync(Store.Ado, settings => settings with { StoreDatabase = own.ConnectionString });
        await Eventually.IsTrueOf(NameAsync, name => !string.Equals(name, before, StringComparison.Ordinal), "the name of the store");

        var run = (string)(await AskAsync($"SELECT run FROM joblocks.wait_queue WHERE name = '{Scene.LockName}'"))!;
        using (Assert.EnterMultipleScope())
        {
            Assert.That(await LineAsync(), Is.EqualTo(1));
            Assert.That(await PlaceAsync(), Is.EqualTo(place));
            Assert.That(Scene.Begun, Is.Zero);
            Assert.That(await Others.Inspector.ExplainAsync(run, default), Does.Not.Contain("No running scheduler"));
        }
    }

    [Test]
    public async Task Runs_what_may_wait_for_hours_where_the_wait_queue_was_emptied([Values] Store store)
    {
        var others = await OthersHoldAsync();
        var node = await StartNodeAsync(store);
        await node.RunAsync<PatientJob>(Scene);
        await ParkedAsync(1);

        await AskAsync($"DELETE FROM joblocks.wait_queue WHERE name = '{Scene.LockName}'");
        await others.DisposeAsync();

        await Scene.NextRunAsync();
        Assert.That(Scene.Begun, Is.EqualTo(1));
    }

    /// <summary>Due now and each day at the same time, and holds itself while a run waits.</summary>
    private static void Daily(TriggerBuilder<WaitingJob> trigger, bool isCron)
    {
        trigger.WithOverlapPolicy(OverlapPolicy.Skip);
        if (isCron) trigger.StartNow().WithCronSchedule(string.Create(CultureInfo.InvariantCulture, $"{DateTime.UtcNow.AddSeconds(2):s m H} * * ?"), static cron => cron.InTimeZone(TimeZoneInfo.Utc));
        else trigger.WithSimpleSchedule(static daily => daily.WithInterval(TimeSpan.FromDays(1)).RepeatForever());
    }

    /// <summary>The same database for a role that Quartz can work with.</summary>
    private async Task<string> LimitedRoleAsync()
    {
        var role = $"limited_{Guid.NewGuid():N}";
        await AskAsync(
            $"""
            REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC;
            CREATE ROLE {role} LOGIN PASSWORD 'limited';
            GRANT ALL ON ALL TABLES IN SCHEMA public TO {role};
            GRANT ALL ON SCHEMA public TO {role}
            """);
        return new NpgsqlConnectionStringBuilder(Database) { Username = role, Password = "limited" }.ConnectionString;
    }

    private async Task<long> PlaceAsync() => (long)(await AskAsync($"SELECT min(entry) FROM joblocks.wait_queue WHERE name = '{Scene.LockName}'"))!;

    private async Task WaitOnAsync(Node node, int count = 1)
    {
        await node.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(count);
    }

    private async Task<string> NameAsync() => (string)(await AskAsync($"SELECT store FROM joblocks.wait_queue WHERE name = '{Scene.LockName}'"))!;

    private async Task<long> StoresAsync() => (long)(await AskAsync($"SELECT count(DISTINCT store) FROM joblocks.wait_queue WHERE name = '{Scene.LockName}'"))!;

    private NpgsqlConnectionStringBuilder Named(string suffix)
    {
        var own = new NpgsqlConnectionStringBuilder(Database);
        own.Database += $"_{suffix}";
        return own;
    }
}
