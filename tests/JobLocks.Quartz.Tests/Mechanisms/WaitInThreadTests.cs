using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>Runs that wait in their threads for a lock that is usually held for a short time. One of the four threads of a node may wait.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class WaitInThreadTests : MechanismFixture
{
    private static readonly TimeSpan Long = TimeSpan.FromSeconds(5);

    [Test]
    public async Task Starts_a_run_in_its_thread_when_the_lock_is_released_in_another_process([Values] Store store)
    {
        var node = await StartPatientAsync(store, Long);
        await HoldShortlyAsync(node);
        var others = await OthersHoldAsync();

        await ScheduleAsync(node, typeof(WaitingJob), job: static job => job.RequestRecovery());
        await IsInThreadAsync();
        var begun = Scene.Begun;
        await others.DisposeAsync();
        var run = await RunEndsAsync(node);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(begun, Is.EqualTo(1), "the run that showed how long the lock is held");
            Assert.That(run.Handle!.Name, Is.EqualTo(Scene.LockName));
            Assert.That(node.Heard.Count("TriggerFired"), Is.EqualTo(2), "each run was fired once");
            Assert.That(node.Heard.Count("JobExecutionVetoed"), Is.Zero);
            Assert.That(await LineAsync(), Is.Zero);
        }
    }

    [Test]
    public async Task Puts_a_run_back_whose_lock_is_not_released_in_time([Values] Store store)
    {
        var node = await StartPatientAsync(store, TimeSpan.FromMilliseconds(100));
        await HoldShortlyAsync(node);
        var others = await OthersHoldAsync();

        await ScheduleAsync(node, typeof(WaitingJob), job: static job => job.RequestRecovery());
        await ParkedAsync(1);
        await node.Node.IsIdleAsync();
        var (state, begun) = (await node.Scheduler.GetTriggerState(Mine), Scene.Begun);
        await others.DisposeAsync();
        var run = await RunEndsAsync(node);
        await NothingElseComesAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That((state, begun), Is.EqualTo((TriggerState.Normal, 1)));
            Assert.That(run.Context.Trigger.Key, Is.EqualTo(Mine));
            Assert.That(run.Context.ScheduledFireTimeUtc, Is.EqualTo(Start));
            Assert.That(Scene.Begun, Is.EqualTo(2));
            Assert.That(await node.Scheduler.GetTrigger(Mine), Is.Null, "a trigger that has fired for the last time");
            Assert.That(await LineAsync(), Is.Zero);
        }
    }

    [Test]
    public async Task Does_not_start_a_run_whose_trigger_was_unscheduled_while_it_waited_in_its_thread([Values] Store store)
    {
        var node = await StartPatientAsync(store, Long);
        await HoldShortlyAsync(node);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, typeof(WaitingJob), job: static job => job.RequestRecovery());
        await IsInThreadAsync();

        await node.Scheduler.UnscheduleJob(Mine);
        await others.DisposeAsync();
        await node.Node.IsIdleAsync();
        await LineEndsAsync();
        await LockIsFreeAsync();

        Assert.That(Scene.Begun, Is.EqualTo(1), "the run that showed how long the lock is held");
    }

    [Test]
    public async Task Starts_the_last_occurrence_where_an_earlier_run_ends_while_it_waits_in_its_thread([Values] Store store)
    {
        var node = await StartPatientAsync(store, Long);
        await HoldShortlyAsync(node);
        Scene.Act = static run => run.UntilToldAsync();
        await ScheduleAsync(
            node, typeof(WaitingJob), trigger => trigger.StartAt(StartSoon()).WithSimpleSchedule(TimeSpan.FromSeconds(2), 1), static job => job.RequestRecovery());
        var first = await Scene.NextRunAsync();
        await IsInThreadAsync();

        first.Leave();
        var last = await Scene.NextRunAsync();
        last.Leave();

        Assert.That(last.Context.Trigger.Key, Is.EqualTo(Mine));
        Assert.That(Scene.MostAtOnce, Is.EqualTo(1));
    }

    [Test]
    public async Task Frees_the_lock_when_another_listener_ends_a_run_that_waits_in_its_thread([Values] bool throws, [Values] bool before)
    {
        var other = new OtherListener(throws);
        var node = await StartPatientAsync(Store.Ado, Long, settings => before
            ? settings with { Before = quartz => quartz.AddTriggerListener(other) }
            : settings with { After = quartz => quartz.AddTriggerListener(other) });
        await HoldShortlyAsync(node);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, typeof(WaitingJob), job: static job => job.RequestRecovery());
        await IsInThreadAsync();

        await others.DisposeAsync();
        await node.Node.IsIdleAsync();
        await LineEndsAsync();
        await LockIsFreeAsync();

        Assert.That(Scene.Begun, Is.EqualTo(1), "the run that showed how long the lock is held");
    }

    [Test]
    public async Task Parks_at_once_a_run_that_its_store_would_not_recover([Values] Store store)
    {
        var node = await StartPatientAsync(store, Long);
        await HoldShortlyAsync(node);
        await using var others = await OthersHoldAsync();

        await ScheduleAsync(node, typeof(WaitingJob));
        await IsPutOffAsync(node, PutOff.Wait);

        Assert.That(node.Heard.Count("TriggerFired"), Is.EqualTo(1), "the run that showed how long the lock is held");
        await others.DisposeAsync();
        await RunEndsAsync(node);
    }

    [Test]
    public async Task Leaves_a_run_that_waits_in_a_thread_to_another_node_when_the_scheduler_shuts_down()
    {
        var node = await StartPatientAsync(Store.Ado, Long);
        await HoldShortlyAsync(node);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, typeof(WaitingJob), job: static job => job.RequestRecovery());
        await IsInThreadAsync();

        await EndAsync(node.Node);
        await ParkedAsync(1);
        var begun = Scene.Begun;
        var other = await StartPatientAsync(Store.Ado, Long);
        await others.DisposeAsync();
        await RunEndsAsync(other);

        Assert.That((begun, Scene.Begun), Is.EqualTo((1, 2)));
    }

    [TestCase(OverlapPolicy.CancelPrevious)]
    [TestCase(OverlapPolicy.AllowAll)]
    public async Task Parks_at_once_a_run_whose_trigger_may_fire_while_it_waits(OverlapPolicy policy)
    {
        var node = await StartPatientAsync(Store.Ado, Long);
        await HoldShortlyAsync(node);
        var others = await OthersHoldAsync();

        await ScheduleAsync(
            node, typeof(WaitingJob), trigger => trigger.StartAt(Start).WithSimpleSchedule(TimeSpan.FromHours(1), 3).WithOverlapPolicy(policy), static job => job.RequestRecovery());
        await IsPutOffAsync(node, PutOff.Wait);

        Assert.That(node.Heard.Count("TriggerFired"), Is.EqualTo(1), "the run that showed how long the lock is held");
        await others.DisposeAsync();
        await RunEndsAsync(node);
    }

    [Test]
    public async Task Brings_the_next_parked_run_to_a_thread_while_the_lock_is_still_held([Values] Store store)
    {
        var node = await StartPatientAsync(store, Long);
        await HoldShortlyAsync(node);
        Scene.Act = static run => run.UntilToldAsync();
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, typeof(WaitingJob), job: static job => job.RequestRecovery());
        await IsInThreadAsync();
        await node.Node.RunAsync<WaitingJob>(Scene, job: static job => job.RequestRecovery());
        await ParkedAsync(1);

        await others.DisposeAsync();
        var first = await Scene.NextRunAsync();
        await IsInThreadAsync();
        var begun = Scene.Begun;
        first.Leave();
        (await Scene.NextRunAsync()).Leave();
        await LineEndsAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(begun, Is.EqualTo(2), "the second run waits until the first one has ended");
            Assert.That(Scene.MostAtOnce, Is.EqualTo(1));
        }
    }

    private Task<Watched> StartPatientAsync(Store store, TimeSpan longestWait, Func<NodeSettings, NodeSettings>? set = null) => StartWatchedAsync(store, settings => (set?.Invoke(settings) ?? settings) with
    {
        Locks = AdvisoryLocks.Connect(Database, options =>
        {
            Node.SetUp(options);
            options.LongestWaitInWorker = longestWait;
        }),
    });

    /// <summary>Has a run hold the lock for a moment: from then on, the node knows that this is usual.</summary>
    private async Task HoldShortlyAsync(Watched node)
    {
        await node.Node.RunAsync<WaitingJob>(Scene, job: static job => job.RequestRecovery());
        await RunEndsAsync(node);
    }

    /// <summary>Waits until a run has a queue entry and is not parked.</summary>
    private Task<long> IsInThreadAsync() => Eventually.IsTrueOf(
        async () => (long)(await AskAsync($"SELECT count(*) FROM joblocks.wait_queue WHERE NOT parked AND name = '{Scene.LockName}'"))!,
        static count => count == 1,
        "runs that wait in threads");

    private sealed class OtherListener(bool throws) : ITriggerListener
    {
        string ITriggerListener.Name => "other";

        ValueTask<bool> ITriggerListener.VetoJobExecution(ITrigger trigger, IJobExecutionContext context, CancellationToken cancellationToken) =>
            !trigger.Key.Equals(Mine) ? new(false) : throws ? throw new InvalidOperationException("This listener throws.") : new(true);
    }
}
