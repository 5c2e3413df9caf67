using JobLocks.Quartz.Tests.Support;
using JobLocks.Quartz.Waiting;
using Quartz;

namespace JobLocks.Quartz.Tests;

/// <summary>What an operator does by SQL to a database in which runs wait.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class AccidentTests : QuartzFixture
{
    // Each after those that it refers to.
    private static readonly string[] Stored = ["job_details", "triggers", "simple_triggers"];

    [Test]
    public async Task Lets_new_runs_start_where_the_tables_of_the_job_store_were_truncated()
    {
        var node = await StartNodeAsync(Store.Ado);
        var others = await OthersHoldAsync();
        await ParkAsync(node, 1);
        await ParkAsync(node, 2);

        await AskAsync("TRUNCATE qrtz_triggers, qrtz_job_details CASCADE");
        await others.DisposeAsync();
        await LineEndsAsync();
        await node.RunAsync<WaitingJob>(Scene);
        await Scene.NextRunAsync();
        await node.IsIdleAsync();

        Assert.That(Scene.Begun, Is.EqualTo(1));
    }

    [Test]
    public async Task Restores_the_positions_of_all_that_wait_where_the_wait_queue_was_lost(
        [Values("TRUNCATE joblocks.wait_queue", "DELETE FROM joblocks.wait_queue", "DROP SCHEMA joblocks CASCADE")] string accident, [Values] Store store)
    {
        var log = new LogLines();
        var node = await StartNodeAsync(store, settings => settings with { Loggers = log });
        var others = await OthersHoldAsync();
        ITrigger[] waiting = [await ParkAsync(node, 1), await ParkAsync(node, 2), await ParkAsync(node, 3)];
        var positions = await PositionsAsync();

        await AskAsync(accident);
        await HasPositionsAsync(positions);
        await log.NextAsync("they have their entry numbers back").Soon();
        await others.DisposeAsync();

        Assert.That(await StartedAsync(3), Is.EqualTo(waiting.Select(static trigger => trigger.Key)));
        await NothingIsLeftAsync(node, runs: 3);
    }

    [Test]
    public async Task Restores_the_positions_of_what_each_of_two_nodes_has_parked()
    {
        Node[] nodes = [await StartNodeAsync(Store.Ado), await StartNodeAsync(Store.Ado)];
        var others = await OthersHoldAsync();
        var waiting = new List<TriggerKey>();
        foreach (var nth in Enumerable.Range(0, 6)) waiting.Add(await ParkOnAsync(nodes, nth));
        var positions = await PositionsAsync();

        await AskAsync("TRUNCATE joblocks.wait_queue");
        await HasPositionsAsync(positions);
        await others.DisposeAsync();

        Assert.That(await StartedAsync(6), Is.EqualTo(waiting));
        await NothingIsLeftAsync(nodes[0], runs: 6);
    }

    [Test]
    public async Task Restores_the_positions_of_more_runs_than_are_checked_at_once()
    {
        var node = await StartNodeAsync(Store.Ram);
        var others = await OthersHoldAsync();
        for (var nth = 1; nth <= 130; nth++) await node.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(130);
        var positions = await PositionsAsync();

        await AskAsync("TRUNCATE joblocks.wait_queue");
        await HasPositionsAsync(positions);
        await others.DisposeAsync();

        await StartedAsync(130);
        await NothingIsLeftAsync(node, runs: 130);
    }

    [Test]
    public async Task Restores_the_positions_of_what_has_moved_to_another_name_of_the_store()
    {
        var node = await StartNodeAsync(Store.Ado, static settings => settings with { ByHand = true });
        var others = await OthersHoldAsync();
        await ParkAsync(node, 1);
        await ParkAsync(node, 2);
        var positions = await PositionsAsync();
        var before = await AskAsync($"SELECT min(store) FROM joblocks.wait_queue WHERE name = '{Scene.LockName}'");
        await node.Scheduler.AddJob(
            JobBuilder.Create<StoreMark>().WithIdentity("store", "joblocks").UsingJobData(DataKeys.Store, Guid.NewGuid().ToString("N")).StoreDurably().Build(), new() { Replace = true });
        await Eventually.IsTrueOf(
            async () => await AskAsync($"SELECT min(store) FROM joblocks.wait_queue WHERE name = '{Scene.LockName}'"), now => now is string && !Equals(now, before), "the name of the store");

        await AskAsync("TRUNCATE joblocks.wait_queue");
        await HasPositionsAsync(positions);
        await others.DisposeAsync();

        await StartedAsync(2);
        await NothingIsLeftAsync(node, runs: 2);
    }

    [Test]
    public async Task Does_not_restore_the_position_of_a_run_that_was_rescheduled_meanwhile()
    {
        var node = await StartNodeAsync(Store.Ado);
        var others = await OthersHoldAsync();
        ITrigger[] waiting = [await ParkAsync(node, 1), await ParkAsync(node, 2)];
        var positions = await PositionsAsync();
        // As another node does that is refused an answer.
        await AskAsync($"UPDATE qrtz_triggers SET retry_attempt = 3000000 WHERE trigger_name = '{waiting[0].Key.Name}'");

        await AskAsync("TRUNCATE joblocks.wait_queue");

        await HasPositionsAsync(positions[1..]);
        Assert.That(Scene.Begun, Is.Zero);
        await node.Scheduler.UnscheduleJob(waiting[0].Key);
        await others.DisposeAsync();
        Assert.That(await StartedAsync(1), Is.EqualTo([waiting[1].Key]));
        await NothingIsLeftAsync(node, runs: 1);
    }

    [Test]
    public async Task Starts_what_waits_where_the_wait_queue_was_lost_and_its_node_has_ended()
    {
        var others = await OthersHoldAsync();
        var ended = await StartNodeAsync(Store.Ado);
        await ended.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(1);
        await EndAsync(ended);

        await AskAsync("TRUNCATE joblocks.wait_queue");
        await StartNodeAsync(Store.Ado);
        await ParkedAsync(1);
        await others.DisposeAsync();

        await Scene.NextRunAsync();
        await LineEndsAsync();
        Assert.That(Scene.Begun, Is.EqualTo(1));
    }

    [Test]
    public async Task Starts_what_an_older_dump_has_that_is_restored_under_a_running_node()
    {
        var node = await StartNodeAsync(Store.Ado);
        var others = await OthersHoldAsync();
        var dumped = await ParkAsync(node, 1);
        foreach (var table in Stored) await AskAsync($"CREATE TABLE dump_{table} AS TABLE qrtz_{table}");
        await node.Scheduler.UnscheduleJob(dumped.Key);
        await LineEndsAsync();
        await ParkAsync(node, 1);

        await AskAsync($"DO $$BEGIN TRUNCATE qrtz_job_details CASCADE; {string.Concat(Stored.Select(static table => $"INSERT INTO qrtz_{table} SELECT * FROM dump_{table}; "))} END$$");
        await others.DisposeAsync();
        var run = await Scene.NextRunAsync();
        await LineEndsAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(run.Context.Trigger.Key, Is.EqualTo(dumped.Key));
            Assert.That(Scene.Begun, Is.EqualTo(1));
        }
    }

    [Test]
    public async Task Skips_no_run_on_account_of_one_that_was_unscheduled_before_the_wait_queue_was_lost([Values] bool keepsNewest)
    {
        var node = await StartNodeAsync(Store.Ado);
        var others = await OthersHoldAsync();
        var gone = await ParkAsync(node, keepsNewest);
        await ParkedAsync(1);
        await node.Scheduler.UnscheduleJob(gone.Key);
        await AskAsync("TRUNCATE joblocks.wait_queue");

        var further = await ParkAsync(node, keepsNewest);
        await others.DisposeAsync();

        Assert.That(await StartedAsync(1), Is.EqualTo([further.Key]));
        await NothingIsLeftAsync(node, runs: 1);
    }

    [Test]
    public async Task Keeps_the_newest_of_the_runs_whose_entries_were_restored()
    {
        var node = await StartNodeAsync(Store.Ado);
        var others = await OthersHoldAsync();
        var oldest = await ParkAsync(node, keepsNewest: true);
        await ParkedAsync(1);
        var positions = await PositionsAsync();
        await AskAsync("TRUNCATE joblocks.wait_queue");
        await HasPositionsAsync(positions);

        var newest = await ParkAsync(node, keepsNewest: true);
        var replaced = await node.Told.NextVetoAsync();
        await others.DisposeAsync();

        Assert.That(replaced.Trigger.Key, Is.EqualTo(oldest.Key));
        Assert.That(await StartedAsync(1), Is.EqualTo([newest.Key]));
        await NothingIsLeftAsync(node, runs: 1);
    }

    [Test]
    public async Task Skips_a_run_that_would_pass_one_whose_entry_was_restored_and_no_other()
    {
        var node = await StartNodeAsync(Store.Ado);
        var others = await OthersHoldAsync();
        var waiting = await ParkAsync(node, 1);
        var positions = await PositionsAsync();
        await AskAsync("TRUNCATE joblocks.wait_queue");
        await HasPositionsAsync(positions);

        await node.RunAsync<SkippingJob>(Scene);
        await node.Told.NextVetoAsync();
        await others.DisposeAsync();
        Assert.That(await StartedAsync(1), Is.EqualTo([waiting.Key]));
        await LineEndsAsync();
        await LockIsFreeAsync();
        var alone = await node.RunAsync<SkippingJob>(Scene);

        Assert.That(await StartedAsync(1), Is.EqualTo([alone.Key]));
        await NothingIsLeftAsync(node, runs: 2);
    }

    private async Task<TriggerKey> ParkOnAsync(Node[] nodes, int nth)
    {
        var key = new TriggerKey($"{Scene.Id} {nth}");
        await nodes[nth % nodes.Length].RunAsync<WaitingJob>(Scene, trigger => trigger.WithIdentity(key));
        await ParkedAsync(nth + 1);
        return key;
    }

    private async Task<string[]> PositionsAsync() =>
        (string[])(await AskAsync($"SELECT coalesce(array_agg(format('%s %s %s %s', entry, run, since, until) ORDER BY entry), '{{}}') FROM joblocks.wait_queue WHERE parked AND name = '{Scene.LockName}'"))!;

    /// <summary>Waits until these runs, and no others, stand where they stood. For a moment the table may not be there.</summary>
    private async Task HasPositionsAsync(string[] positions) => await Eventually.IsTrueOf(
        async () => await AskAsync("SELECT to_regclass('joblocks.wait_queue')::text") is string ? string.Join(", ", await PositionsAsync()) : "no table",
        now => string.Equals(now, string.Join(", ", positions), StringComparison.Ordinal),
        "the positions");

    private async Task<List<TriggerKey>> StartedAsync(int count)
    {
        var started = new List<TriggerKey>();
        for (var nth = 0; nth < count; nth++) started.Add((await Scene.NextRunAsync()).Context.Trigger.Key);
        return started;
    }

    private async Task NothingIsLeftAsync(Node node, int runs)
    {
        await LineEndsAsync();
        await node.IsIdleAsync();
        Assert.That(Scene.Begun, Is.EqualTo(runs));
    }

    /// <summary>A run of which one at a time waits.</summary>
    private async Task<ITrigger> ParkAsync(Node node, bool keepsNewest)
    {
        if (keepsNewest) await node.RunAsync<ReplacingJob>(Scene);
        else await node.RunAsync<JoiningJob>(Scene);
        return await node.Told.NextPutBackAsync();
    }

    private async Task<ITrigger> ParkAsync(Node node, int nth)
    {
        await node.RunAsync<WaitingJob>(Scene);
        var parked = await node.Told.NextPutBackAsync();
        await ParkedAsync(nth);
        return parked;
    }
}
