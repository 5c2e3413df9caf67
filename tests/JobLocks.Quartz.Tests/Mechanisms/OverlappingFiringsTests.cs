using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>An occurrence that is put off while an earlier run of its trigger goes on is not touched by the end of that run.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class OverlappingFiringsTests : MechanismFixture
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);

    private string HeldByNode =>
        $"""
        SELECT count(*)
        FROM   pg_locks AS l
        JOIN   pg_stat_activity AS a USING (pid)
        WHERE  l.locktype = 'advisory'
        AND    l.objsubid = 1
        AND    (l.classid::bigint << 32) | l.objid::bigint = {LockKey.Of(Scene.LockName)}
        AND    a.application_name <> 'others'
        """;

    [Test]
    public async Task Keeps_the_last_occurrence_where_an_earlier_run_ends_while_it_is_put_back([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var ended = new TaskCompletionSource();
        Scene.Act = static run => run.UntilToldAsync();
        node.Node.JobStore.Ended = _ =>
        {
            ended.TrySetResult();
            return Task.CompletedTask;
        };
        await ScheduleAsync(node, JobType(how), trigger => trigger.StartAt(StartSoon()).WithSimpleSchedule(Interval, 1));
        var first = await Scene.NextRunAsync();
        var others = Others.AcquireAsync(Scene.LockName, Eventually.Patience);
        node.Node.JobStore.Fired = async _ =>
        {
            first.Leave();
            await ended.Task.Soon();
            await others;
        };

        var held = await others;
        await IsPutOffAsync(node, how);
        // A store in memory removes the trigger with the end of the earlier run, and JobLocks stores it again.
        var state = await Eventually.IsTrueOf(async () => await node.Scheduler.GetTriggerState(Mine), static found => found == TriggerState.Normal, "state of the trigger");
        await held.DisposeAsync();
        var second = await Scene.NextRunAsync();
        second.Leave();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(state, Is.EqualTo(TriggerState.Normal));
            Assert.That(second.Context.Trigger.Key, Is.EqualTo(Mine));
            Assert.That(second.Context.ScheduledFireTimeUtc, Is.EqualTo(Start + Interval));
        }
    }

    [Test]
    public async Task Wakes_the_last_occurrence_where_a_retry_of_an_earlier_one_ends_while_it_waits([Values] Store store)
    {
        var node = await StartWatchedAsync(store);
        Scene.Act = static run => run.Context is { PreviousFireTimeUtc: null, RetryAttempt: 0 } ? throw new JobExecutionException("This job throws once.") : run.UntilToldAsync();
        await ScheduleAsync(node, typeof(WaitingJob), trigger => trigger
            .StartAt(StartSoon())
            .WithSimpleSchedule(TimeSpan.FromSeconds(5), 1)
            .WithRetryPolicy(RetryPolicy.Fixed(1, TimeSpan.FromSeconds(1))));
        await Scene.NextRunAsync();
        var retry = await Scene.NextRunAsync();
        await ParkedAsync(1);

        retry.Leave();
        var last = await Scene.NextRunAsync();
        last.Leave();

        // Quartz takes an occurrence that comes due during a retry for one more retry.
        Assert.That(last.Context.Trigger.Key, Is.EqualTo(Mine));
        Assert.That(Scene.Begun, Is.EqualTo(3));
    }

    [Test]
    public async Task Wakes_an_occurrence_that_another_node_puts_off_while_the_one_before_begins([Values(OverlapPolicy.Skip, OverlapPolicy.CancelPrevious)] OverlapPolicy policy)
    {
        var nodes = new[] { await StartWatchedAsync(Store.Ado), await StartWatchedAsync(Store.Ado) };
        var others = await OthersHoldAsync();
        await ScheduleAsync(nodes[0], typeof(WaitingJob), trigger => trigger.StartAt(StartSoon()).WithSimpleSchedule(TimeSpan.FromSeconds(1), 20).WithOverlapPolicy(policy));
        await ParkedAsync(1);
        var place = await AskAsync("SELECT max(entry) FROM joblocks.wait_queue");
        var isBeginning = 0;
        foreach (var node in nodes)
        {
            // The first run has its lock by now, and its node is about to have the schedule go on.
            node.Node.JobStore.Asked = async key =>
            {
                if (!key.Equals(Mine) || await AskAsync(HeldByNode) is 0L || Interlocked.Exchange(ref isBeginning, 1) == 1) return;

                await Eventually.IsTrueOf(async () => await AskAsync($"SELECT count(*) FROM joblocks.wait_queue WHERE parked AND entry > {place}"), static parked => parked is 1L, "the next occurrence waits");
            };
        }

        await others.DisposeAsync();
        await Scene.NextRunAsync();
        await Scene.NextRunAsync();

        await nodes[0].Scheduler.UnscheduleJob(Mine);
        await LineEndsAsync();
    }
}
