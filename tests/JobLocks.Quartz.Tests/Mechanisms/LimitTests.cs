using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>Execution groups, priorities, preferred nodes, the thread pool: how much a run takes of them while it is put off.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class LimitTests : MechanismFixture
{
    private const string Group = "imports";

    [Test]
    public async Task Takes_no_slot_of_its_execution_group_while_it_is_put_off_and_goes_by_the_limit_afterwards([Values] Store store, [Values] PutOff how)
    {
        using var neighbour = new Scene();
        neighbour.Act = static run => run.UntilToldAsync();
        var node = await StartWatchedAsync(store, static settings => settings with { Before = static quartz => quartz.UseExecutionLimits(static (_, limits) => limits.ForGroup(Group, 1)) });
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how), static trigger => trigger.WithExecutionGroup(Group));
        await IsPutOffAsync(node, how);

        await node.Node.RunAsync<PlainJob>(neighbour, static trigger => trigger.WithExecutionGroup(Group));
        var run = await neighbour.NextRunAsync();
        await others.DisposeAsync();
        await NothingElseComesAsync();
        var early = Scene.Begun;
        run.Leave();
        var later = await Scene.NextRunAsync();

        Assert.That(early, Is.Zero, "runs beside the one that has the slot of the group");
        Assert.That(later.Context.Trigger.ExecutionGroup, Is.EqualTo(Group));
    }

    [Test]
    public async Task Takes_no_thread_while_it_is_put_off([Values] Store store, [Values] PutOff how)
    {
        using var neighbour = new Scene();
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        for (var run = 0; run < 6; run++) await ScheduleAsync(node, JobType(how), trigger => trigger.WithIdentity($"run {run}", "mine"), job => job.WithIdentity($"job {run}"));
        await IsPutOffAsync(node, how, 6);

        await node.Node.RunAsync<PlainJob>(neighbour);
        await neighbour.NextRunAsync();
        var early = Scene.Begun;
        await others.DisposeAsync();
        var keys = new List<TriggerKey>();
        for (var run = 0; run < 6; run++) keys.Add((await Scene.NextRunAsync()).Context.Trigger.Key);

        Assert.That(early, Is.Zero);
        Assert.That(keys, Is.EquivalentTo(Enumerable.Range(0, 6).Select(static run => new TriggerKey($"run {run}", "mine"))));
    }

    [Test]
    public async Task Runs_on_the_node_that_its_trigger_prefers([Values] PutOff how)
    {
        var first = await StartWatchedAsync(Store.Ado);
        var second = await StartWatchedAsync(Store.Ado);
        var others = await OthersHoldAsync();
        await ScheduleAsync(first, JobType(how), trigger => trigger.WithPreferredNode(PreferredNode.For(second.Scheduler.SchedulerInstanceId)));
        await IsPutOffAsync(second, how);

        await others.DisposeAsync();
        var run = await Scene.NextRunAsync();

        Assert.That(run.Context.Scheduler.SchedulerInstanceId, Is.EqualTo(second.Scheduler.SchedulerInstanceId));
        Assert.That(run.Context.Trigger.Key, Is.EqualTo(Mine));
    }

    [Test]
    public async Task Runs_on_a_node_that_serves_its_execution_group([Values] PutOff how)
    {
        var serving = await StartWatchedAsync(Store.Ado);
        await StartWatchedAsync(Store.Ado, static settings => settings with { Before = static quartz => quartz.RefuseExecutionGroups(Group) });
        var others = await OthersHoldAsync();
        await ScheduleAsync(serving, JobType(how), static trigger => trigger.WithExecutionGroup(Group));
        await IsPutOffAsync(serving, how);

        await others.DisposeAsync();
        var run = await Scene.NextRunAsync();

        Assert.That(run.Context.Scheduler.SchedulerInstanceId, Is.EqualTo(serving.Scheduler.SchedulerInstanceId));
        Assert.That(run.Context.Trigger.Key, Is.EqualTo(Mine));
    }
}
