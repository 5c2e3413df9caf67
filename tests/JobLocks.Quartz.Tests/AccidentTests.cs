using JobLocks.Quartz.Tests.Support;
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
    public async Task Starts_what_waits_where_the_wait_queue_was_lost(
        [Values("TRUNCATE joblocks.line", "DELETE FROM joblocks.line", "DROP SCHEMA joblocks CASCADE")] string accident)
    {
        var node = await StartNodeAsync(Store.Ado);
        var others = await OthersHoldAsync();
        ITrigger[] waiting = [await ParkAsync(node, 1), await ParkAsync(node, 2), await ParkAsync(node, 3)];

        await AskAsync(accident);
        await others.DisposeAsync();
        var runs = new List<Run>();
        foreach (var _ in waiting) runs.Add(await Scene.NextRunAsync());
        await node.IsIdleAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(runs.Select(static run => run.Context.Trigger.Key), Is.EquivalentTo(waiting.Select(static trigger => trigger.Key)));
            Assert.That(Scene.Begun, Is.EqualTo(waiting.Length));
            Assert.That(await LineAsync(), Is.Zero);
        }
    }

    [Test]
    public async Task Starts_what_waits_where_the_wait_queue_was_lost_and_its_node_has_ended()
    {
        var others = await OthersHoldAsync();
        var ended = await StartNodeAsync(Store.Ado);
        await ended.RunAsync<WaitingJob>(Scene);
        await ParkedAsync(1);
        await EndAsync(ended);

        await AskAsync("TRUNCATE joblocks.line");
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

    private async Task<ITrigger> ParkAsync(Node node, int nth)
    {
        await node.RunAsync<WaitingJob>(Scene);
        var parked = await node.Told.NextPutBackAsync();
        await ParkedAsync(nth);
        return parked;
    }
}
