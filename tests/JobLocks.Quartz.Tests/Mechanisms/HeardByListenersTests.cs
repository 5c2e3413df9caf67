using JobLocks.Quartz.Tests.Support;
using Quartz;
using Quartz.Listeners;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>Trigger, job and scheduler listeners hear nothing while a run is put off, and afterwards what they would hear without us.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class HeardByListenersTests : MechanismFixture
{
    [Test]
    public async Task Hear_nothing_of_the_firing_while_the_run_is_put_off([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();

        await ScheduleAsync(node, JobType(how));
        await IsPutOffAsync(node, how);
        var heard = node.Heard.Lines;
        await others.DisposeAsync();
        await RunEndsAsync(node);

        Assert.That(heard, Is.EquivalentTo(new[] { $"JobAdded {MyJob}", $"JobScheduled {Mine}" }));
    }

    [Test]
    public async Task Hear_each_notification_once_when_a_one_shot_has_run([Values] Store store, [Values] PutOff how)
    {
        var (bare, putOff) = await OnBothAsync(store, how, node => ScheduleAsync(node, JobType(how)), EndAndHearAsync);

        Assert.That(bare, Has.Some.StartsWith("TriggerFinalized"), "what the scheduler without JobLocks reports");
        Assert.That(putOff, Is.EqualTo(bare));
    }

    [Test]
    public async Task Hear_each_notification_once_when_a_run_has_failed([Values] Store store, [Values] PutOff how)
    {
        Scene.Act = static _ => throw new InvalidOperationException("This job throws.");

        var (bare, putOff) = await OnBothAsync(store, how, node => ScheduleAsync(node, JobType(how)), EndAndHearAsync);

        Assert.That(putOff, Is.EqualTo(bare));
    }

    [Test]
    public async Task Hear_of_an_occurrence_of_a_repeating_trigger_as_without_us([Values] Store store, [Values] PutOff how)
    {
        var (bare, putOff) = await OnBothAsync(
            store, how, node => ScheduleAsync(node, JobType(how), static trigger => trigger.WithSimpleSchedule(TimeSpan.FromHours(1))), EndAndHearAsync);

        Assert.That(bare, Has.None.StartsWith("TriggerFinalized").And.None.StartsWith("JobDeleted"));
        Assert.That(putOff, Is.EqualTo(bare));
    }

    [Test]
    public async Task Hear_of_exhausted_retries_once_and_with_the_attempts_that_were_made([Values] Store store, [Values] PutOff how)
    {
        Scene.Act = static _ => throw new JobExecutionException("This job throws.");

        var (bare, putOff) = await OnBothAsync(
            store,
            how,
            node => ScheduleAsync(node, JobType(how), static trigger => trigger.WithRetryPolicy(RetryPolicy.Fixed(1, TimeSpan.FromSeconds(1)))),
            async node =>
            {
                await Scene.NextRunAsync();
                await Scene.NextRunAsync();
                return await HeardAfterAsync(node, "TriggerComplete", 2);
            });

        Assert.That(bare, Has.One.EqualTo($"TriggerRetriesExhausted {Mine} 1"));
        Assert.That(putOff, Is.EqualTo(bare));
    }

    [Test]
    public async Task Hear_of_the_progress_of_a_run_under_its_own_trigger([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        Scene.Act = run =>
        {
            run.Context.ReportProgress(40, "nearly half");
            return Eventually.IsTrue(() => Task.FromResult(node.Heard.Count("JobProgressChanged") > 0), "the progress");
        };
        await ScheduleAsync(node, JobType(how));
        await IsPutOffAsync(node, how);

        await others.DisposeAsync();
        await RunEndsAsync(node);

        Assert.That(node.Heard.Lines, Has.Some.EqualTo($"JobProgressChanged {Mine} 40"));
    }

    [Test]
    public async Task Hear_of_it_where_they_are_registered_for_the_key_or_the_group_of_the_trigger_or_the_job([Values] Store store, [Values] PutOff how)
    {
        var (byKey, byGroup, byJob, elsewhere) = (new Heard(), new Heard(), new Heard(), new Heard());
        var node = await StartWatchedAsync(store);
        node.Scheduler.ListenerManager.AddTriggerListener(Renamed.Trigger(byKey, "by key"), Matchers.Key(Mine));
        node.Scheduler.ListenerManager.AddTriggerListener(Renamed.Trigger(byGroup, "by group"), GroupMatcher<TriggerKey>.GroupEquals(Mine.Group));
        node.Scheduler.ListenerManager.AddTriggerListener(Renamed.Trigger(elsewhere, "elsewhere"), GroupMatcher<TriggerKey>.GroupEquals(Mine.Group).Not());
        node.Scheduler.ListenerManager.AddJobListener(Renamed.Job(byJob, "by job"), Matchers.Key(MyJob));
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how));
        await IsPutOffAsync(node, how);
        var whilePutOff = new[] { byKey, byGroup, byJob, elsewhere }.Sum(static heard => heard.Lines.Count);

        await others.DisposeAsync();
        await RunEndsAsync(node);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(whilePutOff, Is.Zero, "notifications while the run is put off");
            Assert.That(byKey.Lines, Has.One.StartsWith("TriggerComplete").And.One.StartsWith("TriggerFired"));
            Assert.That(byGroup.Lines, Is.EqualTo(byKey.Lines));
            Assert.That(byJob.Lines, Has.One.StartsWith("JobToBeExecuted").And.One.StartsWith("JobWasExecuted").And.None.StartsWith("JobExecutionVetoed"));
            Assert.That(elsewhere.Lines, Is.Empty);
        }
    }

    [Test]
    public async Task Start_the_next_job_of_a_chain_once_when_the_run_has_ended([Values] Store store, [Values] PutOff how)
    {
        var chain = new JobChainingJobListener("chain");
        chain.AddJobChainLink(MyJob, new("next"));
        var node = await StartWatchedAsync(store, settings => settings with { After = quartz => quartz.AddJobListener(chain) });
        await node.Scheduler.AddJob(Job(typeof(PlainJob), job => job.WithIdentity("next").StoreDurably().UsingJobData(Scene.Key, Scene.Id)));
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how));
        await IsPutOffAsync(node, how);
        var begun = Scene.Begun;

        await others.DisposeAsync();
        var runs = new[] { await Scene.NextRunAsync(), await Scene.NextRunAsync() };
        await NothingElseComesAsync();

        Assert.That(begun, Is.Zero);
        Assert.That(runs.Select(static run => run.Context.JobDetail.Key.Name), Is.EqualTo([MyJob.Name, "next"]));
        Assert.That(Scene.Begun, Is.EqualTo(2));
    }

    [Test]
    public async Task Hear_of_the_interruption_of_a_run_that_was_put_off([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        Scene.Act = static run => run.UntilToldOrStoppedAsync();
        await ScheduleAsync(node, JobType(how));
        await IsPutOffAsync(node, how);
        var early = await node.Scheduler.Interrupt(MyJob);

        await others.DisposeAsync();
        await Scene.NextRunAsync();
        var late = await node.Scheduler.Interrupt(MyJob);
        await node.Node.Told.NextEndAsync();
        await node.Node.IsIdleAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(early, Is.False, "interrupted while it is put off");
            Assert.That(late, Is.True, "interrupted while it runs");
            Assert.That(node.Heard.Count("JobInterrupted"), Is.EqualTo(1));
            Assert.That(node.Heard.Lines, Has.One.EqualTo($"JobWasExecuted {Mine} {MyJob} {ExecutionOutcome.Cancelled} 0"));
        }
    }

    [Test]
    public async Task Are_told_of_an_unscheduled_trigger_and_nothing_else_where_its_run_is_put_off([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, JobType(how), job: static job => job.StoreDurably());
        await IsPutOffAsync(node, how);

        await node.Scheduler.UnscheduleJob(Mine);
        await others.DisposeAsync();
        await NothingElseComesAsync();

        Assert.That(node.Heard.Lines.Order(StringComparer.Ordinal), Is.EqualTo(new[] { $"JobAdded {MyJob}", $"JobScheduled {Mine}", $"JobUnscheduled {Mine}" }));
    }

    private async Task<IReadOnlyList<string>> EndAndHearAsync(Watched node)
    {
        await RunEndsAsync(node);
        return await HeardAfterAsync(node, "TriggerComplete", 1);
    }

    private static async Task<IReadOnlyList<string>> HeardAfterAsync(Watched node, string member, int count)
    {
        await Eventually.IsTrue(() => Task.FromResult(node.Heard.Count(member) >= count), member);
        await node.Node.IsIdleAsync();
        // A store may announce the end of a trigger, and that of its job, after the firing is over.
        if (!await node.Scheduler.Exists(MyJob)) await Eventually.IsTrue(() => Task.FromResult(node.Heard.Count("JobDeleted") > 0 && node.Heard.Count("TriggerFinalized") > 0), "the end of trigger and job");
        return [.. node.Heard.Lines.Order(StringComparer.Ordinal)];
    }
}
