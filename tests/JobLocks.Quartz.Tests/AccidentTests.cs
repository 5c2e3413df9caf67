using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests;

/// <summary>What an operator does by SQL to a database in which runs wait.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class AccidentTests : QuartzFixture
{
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
    public async Task Starts_what_waits_where_the_schema_of_JobLocks_was_dropped()
    {
        var node = await StartNodeAsync(Store.Ado);
        var others = await OthersHoldAsync();
        ITrigger[] waiting = [await ParkAsync(node, 1), await ParkAsync(node, 2)];

        await AskAsync("DROP SCHEMA joblocks CASCADE");
        await others.DisposeAsync();
        Run[] runs = [await Scene.NextRunAsync(), await Scene.NextRunAsync()];
        await node.IsIdleAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(runs.Select(static run => run.Context.Trigger.Key), Is.EquivalentTo(waiting.Select(static trigger => trigger.Key)));
            Assert.That(Scene.Begun, Is.EqualTo(waiting.Length));
            Assert.That(await LineAsync(), Is.Zero);
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
