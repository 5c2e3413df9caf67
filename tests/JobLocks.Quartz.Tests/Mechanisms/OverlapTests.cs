using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>A repeating trigger keeps its phase, and its overlap policy counts the occurrence that is put off.</summary>
[TestFixture, CancelAfter(120_000)]
public sealed class OverlapTests : MechanismFixture
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(1);

    [Test, Pairwise]
    public async Task Keeps_its_own_times_and_runs_every_occurrence_with_the_time_at_which_it_was_due(
        [Values] Store store, [Values] PutOff how, [Values(OverlapPolicy.Default, OverlapPolicy.AllowAll)] OverlapPolicy policy)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how), trigger => trigger.StartAt(StartSoon()).WithSimpleSchedule(Interval, 3).WithOverlapPolicy(policy));
        await IsPutOffAsync(node, how);
        var next = (await node.Scheduler.GetTrigger(Mine))?.NextFireTimeUtc;
        await PassAsync(TimeSpan.FromSeconds(4));
        var line = await LineAsync();

        await others.DisposeAsync();
        var runs = new List<Run>();
        for (var occurrence = 0; occurrence < 4; occurrence++) runs.Add(await Scene.NextRunAsync());

        using (Assert.EnterMultipleScope())
        {
            Assert.That((next - Start)?.TotalSeconds % Interval.TotalSeconds, Is.Zero, "the phase of the schedule");
            Assert.That(line, Is.EqualTo(how == PutOff.Wait ? 4 : 0));
            Assert.That(runs.Select(static run => run.Context.ScheduledFireTimeUtc).Order(), Is.EqualTo(Enumerable.Range(0, 4).Select(i => (DateTimeOffset?)(Start + (i * Interval)))));
            Assert.That(runs.Select(static run => run.Context.Trigger.Key), Is.All.EqualTo(Mine));
            Assert.That(Scene.MostAtOnce, Is.EqualTo(1));
        }
    }

    [Test]
    public async Task Skips_further_occurrences_while_one_is_put_off_where_the_policy_says_so([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how), trigger => trigger.StartAt(StartSoon()).WithSimpleSchedule(Interval, 3).WithOverlapPolicy(OverlapPolicy.Skip));
        await IsPutOffAsync(node, how);
        await PassAsync(TimeSpan.FromSeconds(3.5));
        var line = await LineAsync();

        await others.DisposeAsync();
        var run = await RunEndsAsync(node);
        await Eventually.IsTrue(() => Task.FromResult(node.Heard.Count("TriggerSkipped") == 3), "the occurrences that are skipped");
        await NothingElseComesAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(line, Is.EqualTo(how == PutOff.Wait ? 1 : 0));
            Assert.That(run.Context.Trigger.Key, Is.EqualTo(Mine));
            Assert.That(run.Context.ScheduledFireTimeUtc, Is.EqualTo(Start));
            Assert.That(Scene.Begun, Is.EqualTo(1));
            Assert.That((await node.MisfiresAsync()).Select(static misfire => misfire.Reason), Is.EqualTo(Enumerable.Repeat(MisfireReason.Overlap, 3)));
        }
    }

    [Test]
    public async Task Keeps_at_most_one_more_while_one_is_put_off_where_the_policy_says_so([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how), trigger => trigger
            .StartAt(StartSoon())
            .WithSimpleSchedule(Interval, 3)
            .WithOverlapPolicy(OverlapPolicy.BufferOne));
        await IsPutOffAsync(node, how);
        await PassAsync(TimeSpan.FromSeconds(2.5));
        var line = await LineAsync();

        await others.DisposeAsync();
        var first = await RunEndsAsync(node);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(line, Is.EqualTo(how == PutOff.Wait ? 1 : 0), "the one that waits; a second one is kept by the trigger");
            Assert.That(first.Context.Trigger.Key, Is.EqualTo(Mine));
            Assert.That(first.Context.ScheduledFireTimeUtc, Is.EqualTo(Start));
            Assert.That((await Scene.NextRunAsync()).Context.ScheduledFireTimeUtc, Is.GreaterThan(Start));
            Assert.That(Scene.MostAtOnce, Is.EqualTo(1));
        }
    }

    [Test]
    public async Task Never_runs_two_occurrences_at_once_where_the_policy_keeps_one_and_the_lock_admits_several([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        Scene.Act = static run => run.UntilToldAsync();
        // So many occurrences that the schedule does not come to its end on a slow machine.
        await ScheduleAsync(node, how == PutOff.Wait ? typeof(WaitingSharedJob) : typeof(ReschedulingSharedJob), trigger => trigger
            .StartAt(StartSoon())
            .WithSimpleSchedule(Interval, 60)
            .WithOverlapPolicy(OverlapPolicy.BufferOne));
        await IsPutOffAsync(node, how);
        await PassAsync(TimeSpan.FromSeconds(1.5));

        var releasedAt = DateTimeOffset.UtcNow;
        await others.DisposeAsync();
        var first = await Scene.NextRunAsync();
        var (state, next) = (await node.Scheduler.GetTriggerState(Mine), (await node.Scheduler.GetTrigger(Mine))?.NextFireTimeUtc);
        await PassAsync(TimeSpan.FromSeconds(1.5));
        var begun = Scene.Begun;
        Scene.Act = static _ => Task.CompletedTask;
        first.Leave();
        var second = await Scene.NextRunAsync();
        await node.Scheduler.UnscheduleJob(Mine);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(begun, Is.EqualTo(1), "runs of the trigger before the first one has ended");
            Assert.That(state, Is.EqualTo(TriggerState.Executing));
            Assert.That(next, Is.GreaterThan(releasedAt), "what came due before the wake does not run a second time");
            Assert.That(second.Context.ScheduledFireTimeUtc, Is.GreaterThan(Start));
        }
    }

    [Test]
    public async Task Runs_one_after_the_other_where_the_policy_keeps_one_and_what_came_due_counts_as_missed_soon()
    {
        var threshold = TimeSpan.FromMilliseconds(500);
        var node = await StartWatchedAsync(Store.Ado, settings => settings with { MisfireThreshold = threshold });
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, typeof(WaitingJob), trigger => trigger
            .StartAt(StartSoon())
            .WithMisfireThreshold(threshold)
            .WithSimpleSchedule(Interval, 3)
            .WithOverlapPolicy(OverlapPolicy.BufferOne));
        await IsPutOffAsync(node, PutOff.Wait);
        await PassAsync(TimeSpan.FromSeconds(2.5));

        await others.DisposeAsync();
        await Scene.NextRunAsync();
        await Scene.NextRunAsync();
        await Eventually.IsTrueOf(async () => await node.Scheduler.GetTrigger(Mine), static trigger => trigger is null, "the trigger when it has fired for the last time");

        Assert.That(Scene.Begun, Is.InRange(2, 4));
        Assert.That(Scene.MostAtOnce, Is.EqualTo(1));
    }

    [Test, Pairwise]
    public async Task Runs_what_came_due_meanwhile_though_the_schedule_has_come_to_its_end([Values] Store store, [Values] PutOff how, [Values] bool isSerial)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, isSerial ? SerialJobType(how) : JobType(how), trigger => trigger
            .StartAt(StartSoon())
            .WithSimpleSchedule(Interval, 1)
            .WithOverlapPolicy(isSerial ? OverlapPolicy.Default : OverlapPolicy.BufferOne));
        await IsPutOffAsync(node, how);
        await PassAsync(TimeSpan.FromSeconds(2.5));

        await others.DisposeAsync();
        var runs = new[] { await Scene.NextRunAsync(), await Scene.NextRunAsync() };
        await Eventually.IsTrueOf(async () => await node.Scheduler.GetTrigger(Mine), static trigger => trigger is null, "the trigger when it has fired for the last time");

        Assert.That(runs.Select(static run => run.Context.ScheduledFireTimeUtc), Is.EqualTo(new[] { Start, Start + Interval }));
        Assert.That(Scene.Begun, Is.EqualTo(2));
        Assert.That(node.Heard.Count("TriggerFinalized"), Is.EqualTo(1));
    }

    [Test]
    public async Task Shows_the_next_time_of_a_trigger_whose_job_may_not_run_twice_while_a_run_goes_on_that_was_put_off([Values] Store store)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        Scene.Act = static run => run.UntilToldAsync();
        await ScheduleAsync(node, typeof(WaitingSerialJob), trigger => trigger.StartAt(StartSoon()).WithSimpleSchedule(TimeSpan.FromHours(1)));
        await IsPutOffAsync(node, PutOff.Wait);
        await others.DisposeAsync();
        var run = await Scene.NextRunAsync();

        var stored = await node.Node.JobStore.Triggers.FindAsync(Mine, CancellationToken.None);
        var shown = await node.Scheduler.GetTrigger(Mine);
        run.Leave();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(shown?.NextFireTimeUtc, Is.EqualTo(Start.AddHours(1)));
            Assert.That(shown?.PreviousFireTimeUtc, Is.EqualTo(Start));
            Assert.That(stored?.RetryAttempt, Is.Zero, "the attempt number that another node would find after a crash");
        }
    }

    [Test]
    public async Task Runs_only_the_newest_occurrence_where_the_policy_cancels_the_one_before([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how), trigger => trigger.StartAt(StartSoon()).WithSimpleSchedule(Interval, 2).WithOverlapPolicy(OverlapPolicy.CancelPrevious));
        await IsPutOffAsync(node, how);
        await PassAsync(TimeSpan.FromSeconds(3));
        var line = await LineAsync();

        await others.DisposeAsync();
        var run = await RunEndsAsync(node);
        await NothingElseComesAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(line, Is.EqualTo(how == PutOff.Wait ? 1 : 0));
            Assert.That(run.Context.ScheduledFireTimeUtc, Is.EqualTo(Start + (2 * Interval)));
            Assert.That(Scene.Begun, Is.EqualTo(1));
        }
    }

    [Test]
    public async Task Measures_its_interval_from_the_end_of_the_run_that_was_put_off([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how), trigger => trigger.StartAt(StartSoon()).WithSimpleSchedule(
            static simple => simple.WithInterval(Interval).WithRepeatCount(1).MeasureIntervalFromCompletion()));
        await IsPutOffAsync(node, how);
        await PassAsync(TimeSpan.FromSeconds(2.5));
        var line = await LineAsync();

        var released = TimeProvider.System.GetUtcNow();
        await others.DisposeAsync();
        var first = await Scene.NextRunAsync();
        var second = await Scene.NextRunAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(line, Is.EqualTo(how == PutOff.Wait ? 1 : 0));
            Assert.That(first.Context.ScheduledFireTimeUtc, Is.EqualTo(Start));
            Assert.That(second.Context.ScheduledFireTimeUtc, Is.GreaterThanOrEqualTo(released + Interval));
            Assert.That(second.Context.Trigger.Key, Is.EqualTo(Mine));
        }
    }

    [Test]
    public async Task Puts_off_each_run_once_of_a_job_that_may_not_run_twice_at_once([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, SerialJobType(how), job: static job => job.StoreDurably());
        await IsPutOffAsync(node, how);
        await node.Scheduler.ScheduleJob(Trigger(static trigger => trigger.WithIdentity("second", "mine").ForJob(MyJob)));
        await PassAsync(TimeSpan.FromSeconds(1.5));
        var line = await LineAsync();

        await others.DisposeAsync();
        var runs = new[] { await RunEndsAsync(node), await RunEndsAsync(node) };

        using (Assert.EnterMultipleScope())
        {
            Assert.That(line, Is.EqualTo(how == PutOff.Wait ? 2 : 0), "a run that waits does not block the other triggers of its job");
            Assert.That(runs.Select(static run => run.Context.Trigger.Key), Is.EqualTo([Mine, new TriggerKey("second", "mine")]));
            Assert.That(Scene.MostAtOnce, Is.EqualTo(1));
        }
    }
}
