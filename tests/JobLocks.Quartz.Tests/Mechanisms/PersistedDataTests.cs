using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>Data that a job keeps from run to run (<c>[PersistJobDataAfterExecution]</c>) under a lock that lets one run at a time through.</summary>
[TestFixture, CancelAfter(180_000)]
public sealed class PersistedDataTests : MechanismFixture
{
    private const int Runs = 60;

    [Test]
    public async Task Counts_every_run_of_many_triggers_on_two_nodes([Values] PutOff how) =>
        await CountsEveryRunAsync([await StartWatchedAsync(Store.Ado), await StartWatchedAsync(Store.Ado)], how);

    [Test]
    public async Task Counts_every_run_of_many_triggers_in_memory([Values] PutOff how) => await CountsEveryRunAsync([await StartWatchedAsync(Store.Ram)], how);

    [Test]
    public async Task Keeps_what_another_run_wrote_while_this_one_was_put_off([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        await node.Scheduler.AddJob(Counting(how));
        var others = await OthersHoldAsync();
        await node.Scheduler.ScheduleJob(Trigger(static trigger => trigger.ForJob(MyJob)));
        await IsPutOffAsync(node, how);

        await node.Scheduler.AddJob(Counting(how, 10), AddJobOptions.Replacing);
        await others.DisposeAsync();
        await RunEndsAsync(node);

        Assert.That(await CountAsync(node), Is.EqualTo(11));
    }

    [Test]
    public async Task Writes_nothing_back_where_the_run_was_only_put_off([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        await node.Scheduler.AddJob(Counting(how, 5));
        await using var others = await OthersHoldAsync();

        await node.Scheduler.ScheduleJob(Trigger(static trigger => trigger.ForJob(MyJob)));
        await IsPutOffAsync(node, how);
        var stored = (await node.Scheduler.GetJobDetail(MyJob))!.JobDataMap;
        await node.Scheduler.UnscheduleJobs(GroupMatcher<TriggerKey>.AnyGroup());

        Assert.That(stored, Is.EqualTo(new JobDataMap { [CountingJob.Count] = 5 }));
    }

    private static IJobDetail Counting(PutOff how, int? count = null) => Job(
        how == PutOff.Wait ? typeof(WaitingCountingJob) : typeof(ReschedulingCountingJob),
        job =>
        {
            job.StoreDurably();
            if (count is not null) job.UsingJobData(CountingJob.Count, count);
        });

    private static async Task<int> CountAsync(Watched node) => (await node.Scheduler.GetJobDetail(MyJob))!.JobDataMap.GetInt(CountingJob.Count);

    private async Task CountsEveryRunAsync(Watched[] nodes, PutOff how)
    {
        await nodes[0].Scheduler.AddJob(Counting(how));
        Scene.Act = static async _ => await Task.Yield();

        for (var run = 0; run < Runs; run++) await nodes[run % nodes.Length].Scheduler.ScheduleJob(Trigger(trigger => trigger.WithIdentity($"run {run}", "mine").ForJob(MyJob)));
        for (var run = 0; run < Runs; run++) await Scene.NextRunAsync();
        foreach (var node in nodes) await node.Node.IsIdleAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(await CountAsync(nodes[0]), Is.EqualTo(Runs));
            Assert.That(Scene.Begun, Is.EqualTo(Runs));
            Assert.That(Scene.MostAtOnce, Is.EqualTo(1));
        }
    }
}
