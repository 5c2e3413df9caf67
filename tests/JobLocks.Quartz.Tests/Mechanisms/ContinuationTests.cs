using JobLocks.Quartz.Tests.Support;
using Microsoft.Extensions.Logging;
using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>Triggers that start after another one (<c>StartAfter</c>): a run that is put off is no outcome yet.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class ContinuationTests : FamilyFixture
{
    public enum Ending
    {
        Succeeds,
        Fails,
        IsCancelled,
        IsVetoedByAnotherListener,
    }

    [Test]
    public async Task Warns_of_a_child_whose_parent_has_a_lock_where_the_scheduler_was_built_without_JobLocks([Values] bool isScheduledBeforeTheStart)
    {
        var log = new LogLines();
        using var loggers = LoggerFactory.Create(builder => builder.AddProvider(log));
        await using var locks = AdvisoryLocks.Connect(Database, loggers: loggers);
        var node = await StartNodeAsync(Store.Ram, static settings => settings with { IsBare = true, IsStarted = false });
        if (!isScheduledBeforeTheStart) node.Scheduler.UseJobLocks(locks);

        await node.Scheduler.ScheduleJob(Job(typeof(WaitingJob)), Trigger(trigger => trigger.StartAt(Start.AddHours(1))));
        await node.Scheduler.ScheduleJob(Job(typeof(PlainJob), static job => job.WithIdentity("child")), Trigger(static trigger => trigger.WithIdentity("child").StartAfter(Mine)));
        node.Scheduler.UseJobLocks(locks);
        await node.Scheduler.Start();

        Assert.That(await log.NextAsync("starts after"), Does.StartWith("Warning").And.Contain("child").And.Contain(Mine.ToString()).And.Contain("quartz.UseJobLocks(…)"));
    }

    [Test, Pairwise]
    public async Task Settles_each_child_by_what_its_parent_comes_to_in_the_end([Values] Store store, [Values] PutOff how, [Values] Ending ending)
    {
        var node = await StartWatchedAsync(store, settings => ending == Ending.IsVetoedByAnotherListener
            ? settings with { After = static quartz => quartz.AddTriggerListener(new VetoesParent()) }
            : settings);
        var others = await OthersHoldAsync();
        ParentDoes = run => EndAsync(run, ending);
        await ScheduleFamilyAsync(node, JobType(how));
        await IsPutOffAsync(node, how);
        await AllChildrenAwaitAsync(node);

        await others.DisposeAsync();

        Assert.That(await ChildrenThatRunAsync(node), Is.EqualTo(Expected(ending switch
        {
            Ending.Succeeds => ContinuationCondition.OnSuccess,
            Ending.Fails => ContinuationCondition.OnFailure,
            Ending.IsCancelled => ContinuationCondition.OnCancellation,
            _ => ContinuationCondition.OnVeto,
        })));
    }

    [Test]
    public async Task Settles_each_child_of_a_run_that_is_refused_for_good_by_its_rule(
        [Values] Store store, [Values(typeof(SkippingJob), typeof(FailingJob))] Type parent)
    {
        var node = await StartWatchedAsync(store);
        await using var others = await OthersHoldAsync();

        await ScheduleFamilyAsync(node, parent);

        Assert.That(await ChildrenThatRunAsync(node), Is.EqualTo(Expected(
            parent == typeof(SkippingJob) ? ContinuationCondition.OnVeto : ContinuationCondition.OnFailure)));
    }

    [Test]
    public async Task Counts_a_run_that_has_waited_for_as_long_as_it_may_as_a_failure_of_the_parent([Values] Store store)
    {
        var node = await StartWatchedAsync(store);
        await using var others = await OthersHoldAsync();

        await ScheduleFamilyAsync(node, typeof(BriefJob));

        Assert.That(await ChildrenThatRunAsync(node), Is.EqualTo(Expected(ContinuationCondition.OnFailure)));
    }

    [Test]
    public async Task Counts_a_run_that_another_one_waits_for_as_a_veto_of_the_parent([Values] Store store)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleAsync(node, typeof(JoiningJob));
        await IsPutOffAsync(node, PutOff.Wait);

        await ScheduleFamilyAsync(node, typeof(JoiningJob));
        var ran = await ChildrenThatRunAsync(node);
        await others.DisposeAsync();
        await Eventually.IsTrue(() => Task.FromResult(Ran.Contains(MyJob.Name, StringComparer.Ordinal)), "the run that waited");

        Assert.That(ran, Is.EqualTo(Expected(ContinuationCondition.OnVeto)));
    }

    [Test]
    public async Task Keeps_the_children_of_a_parent_that_fails_and_is_retried([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        ParentDoes = static run => run.Context.RetryAttempt == 0 ? throw new JobExecutionException("This job throws once.") : Task.CompletedTask;
        await ScheduleFamilyAsync(node, JobType(how), static trigger => trigger.WithRetryPolicy(RetryPolicy.Fixed(1, TimeSpan.FromSeconds(1))));
        await IsPutOffAsync(node, how);

        await others.DisposeAsync();

        Assert.That(await ChildrenThatRunAsync(node), Is.EqualTo(Expected(ContinuationCondition.OnSuccess)));
        Assert.That(Ran.Count(static job => job is Parent), Is.EqualTo(2));
    }

    [Test]
    public async Task Runs_a_chain_of_three_in_order_where_each_of_them_is_put_off([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var names = new[] { "first", "second", "third" };
        var held = new Dictionary<string, JobLockHandle>(StringComparer.Ordinal);
        foreach (var name in names) held[name] = (await Others.TryAcquireAsync(LockOf(name)))!;
        await ScheduleChainAsync(node, how, names);

        for (var link = 0; link < names.Length; link++)
        {
            await IsRefusedAsync(node, LockOf(names[link]));
            var states = new List<TriggerState>();
            foreach (var later in names[(link + 1)..]) states.Add(await node.Scheduler.GetTriggerState(new(later, "chain")));
            Assert.That(states, Is.All.EqualTo(TriggerState.Awaiting), $"what comes after {names[link]}");
            Assert.That(Ran, Is.EqualTo(names[..link]));
            await held[names[link]].DisposeAsync();
            await Eventually.IsTrue(() => Task.FromResult(Ran.Count > link), $"the run of {names[link]}");
        }

        Assert.That(Ran, Is.EqualTo(names));
    }

    [Test]
    public async Task Settles_the_children_on_another_node_where_the_one_that_put_the_parent_off_is_gone([Values] PutOff how, [Values] bool fails)
    {
        var first = await StartWatchedAsync(Store.Ado);
        var others = await OthersHoldAsync();
        ParentDoes = _ => fails ? throw new JobExecutionException("This job throws.") : Task.CompletedTask;
        await ScheduleFamilyAsync(first, JobType(how));
        await IsPutOffAsync(first, how);
        await EndAsync(first.Node);

        var second = await StartWatchedAsync(Store.Ado);
        await AllChildrenAwaitAsync(second);
        await others.DisposeAsync();

        Assert.That(await ChildrenThatRunAsync(second), Is.EqualTo(Expected(fails ? ContinuationCondition.OnFailure : ContinuationCondition.OnSuccess)));
    }

    [Test]
    public async Task Settles_the_children_as_deleted_where_the_parent_is_unscheduled_while_it_is_put_off([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        await ScheduleFamilyAsync(node, JobType(how));
        await IsPutOffAsync(node, how);

        await node.Scheduler.UnscheduleJob(new(Parent));
        var ran = await ChildrenThatRunAsync(node);
        await others.DisposeAsync();
        await NothingElseComesAsync();

        // As Quartz does it: what starts after any outcome is released, the others are left in the state Error.
        Assert.That(ran, Is.EqualTo(new[] { nameof(ContinuationCondition.OnAnyOutcome) }));
        Assert.That(Ran, Does.Not.Contain(Parent));
    }

    private static async Task EndAsync(Run run, Ending ending)
    {
        if (ending == Ending.Fails) throw new JobExecutionException("This job throws.");
        if (ending != Ending.IsCancelled) return;

        await run.Context.Scheduler.InterruptFireInstance(run.Context.FireInstanceId);
        run.Stop.ThrowIfCancellationRequested();
    }

    private string LockOf(string link) => $"{link}({Scene.Id})";

    private Task ScheduleChainAsync(Watched node, PutOff how, string[] names)
    {
        var conflict = how == PutOff.Wait ? OnConflict.Wait : OnConflict.Reschedule;
        var chain = names.Index().ToDictionary(
            link => Job(typeof(PlainJob), job => job.WithIdentity(link.Item).WithJobLock($"{link.Item}({{scene}})", conflict, retryAfterSeconds: 1)),
            IReadOnlyCollection<ITrigger> (link) => [Trigger(trigger =>
            {
                trigger.WithIdentity(link.Item, "chain");
                if (link.Index > 0) trigger.StartAfter(new(names[link.Index - 1], "chain"));
            })]);
        return node.Scheduler.ScheduleJobs(chain).AsTask();
    }

    private sealed class VetoesParent : ITriggerListener
    {
        public string Name => "vetoes the parent";

        public ValueTask<bool> VetoJobExecution(ITrigger trigger, IJobExecutionContext context, CancellationToken cancellationToken = default) =>
            new(context.JobDetail.Key.Name is Parent);
    }
}
