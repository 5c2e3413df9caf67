using JobLocks.Quartz.Tests.Support;
using Quartz;

namespace JobLocks.Quartz.Tests;

public sealed class ConflictTests : QuartzFixture
{
    [Test]
    public async Task Runs_the_job_when_the_lock_is_free([Values] Store store)
    {
        var node = await StartNodeAsync(store);
        Scene.Act = static run => run.UntilToldAsync();

        await node.RunAsync<SkippingJob>(Scene);
        var run = await Scene.NextRunAsync();
        var others = await OthersTryAsync();
        run.Leave();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(others, Is.Null, "the lock while the job runs");
            Assert.That(run.Handle?.Name, Is.EqualTo(Scene.LockName));
        }

        await LockIsFreeAsync();
    }

    [Test]
    public async Task Skips_the_run_when_another_run_holds_the_lock([Values] Store store)
    {
        var node = await StartNodeAsync(store);
        var others = await OthersHoldAsync();

        var refused = await node.RunAsync<SkippingJob>(Scene);
        var veto = await node.Told.NextVetoAsync();
        await others.DisposeAsync();
        // Releasing is not waited for, and a run that comes too early is skipped as well.
        await NothingIsHeldAsync();
        await node.RunAsync<SkippingJob>(Scene);
        var run = await Scene.NextRunAsync();
        await node.Told.NextEndAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(veto.Trigger.Key, Is.EqualTo(refused.Key));
            Assert.That(run.Context.Trigger.Key, Is.Not.EqualTo(refused.Key));
            Assert.That(Scene.Begun, Is.EqualTo(1));
        }
    }

    [Test]
    public async Task Tries_again_later_with_the_same_data_when_another_run_holds_the_lock([Values] Store store)
    {
        var lines = new LogLines();
        var node = await StartNodeAsync(store, settings => settings with { Loggers = lines });
        var others = await OthersHoldAsync();

        var refused = await node.RunAsync<ReschedulingJob>(
            Scene,
            static trigger => trigger
                .UsingJobData("colour", "green")
                .WithPriority(7)
                .WithExecutionGroup("{{braces}}")
                .WithRetryPolicy(RetryPolicy.Fixed(3, TimeSpan.FromSeconds(1))),
            static job => job.UsingJobData("size", 4));
        var next = await node.Told.NextPutBackAsync();
        var said = await lines.NextAsync("is rescheduled to").Soon();
        await others.DisposeAsync();
        var run = await Scene.NextRunAsync();
        await node.Told.NextEndAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(said, Does.Contain($"{Scene.LockName} is held by").And.Contain("others"));
            Assert.That(next.Priority, Is.EqualTo(7));
            Assert.That(next.ExecutionGroup, Is.EqualTo(refused.ExecutionGroup).And.EqualTo("{braces}"));
            Assert.That(next.RetryPolicy, Is.EqualTo(refused.RetryPolicy));
            Assert.That(run.Context.Trigger.Key, Is.EqualTo(refused.Key).And.EqualTo(next.Key));
            Assert.That(run.Context.Trigger.Priority, Is.EqualTo(7));
            Assert.That(run.Context.MergedJobDataMap["colour"], Is.EqualTo("green"));
            Assert.That(run.Context.MergedJobDataMap["size"], Is.EqualTo(4));
        }

        // The job is not durable: when it is gone, no trigger is left that could run it once more.
        await Eventually.IsTrue(async () => !await node.Scheduler.Exists(refused.JobKey), "the end of the job");
        Assert.That(Scene.Begun, Is.EqualTo(1));
    }

    [Test]
    public async Task Fails_the_run_when_another_run_holds_the_lock([Values] Store store)
    {
        var node = await StartNodeAsync(store, static node => node with { Before = static quartz => quartz.AddSchedulerListener(new ThrowsOnError()) });
        var others = await OthersHoldAsync();

        var refused = await node.RunAsync<FailingJob>(Scene);
        var error = await node.Told.NextErrorAsync();
        var (_, thrown) = await node.Told.NextEndAsync();
        await others.DisposeAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(thrown?.GetBaseException(), Is.TypeOf<JobLockConflictException>());
            Assert.That(error.Exception.InnerException, Is.TypeOf<JobLockConflictException>());
            Assert.That(error.Exception.InnerException!.Message, Does.Contain($"{Scene.LockName} is held by").And.Contain("others"));
            Assert.That(error.TriggerKey, Is.EqualTo(refused.Key));
            Assert.That(error.JobKey, Is.EqualTo(refused.JobKey));
            Assert.That(Scene.Begun, Is.Zero);
        }
    }

    [Test]
    public async Task Runs_together_what_has_different_names([Values] Store store)
    {
        using var otherScene = new Scene();
        var node = await StartNodeAsync(store);
        Scene.Act = otherScene.Act = static run => run.UntilToldAsync();

        await node.RunAsync<SkippingJob>(Scene);
        await node.RunAsync<SkippingJob>(otherScene);
        var runs = new[] { await Scene.NextRunAsync(), await otherScene.NextRunAsync() };

        foreach (var run in runs) run.Leave();
    }

    [Test]
    public async Task Counts_the_rules_of_attributes_job_and_trigger_together([Values] Store store, [Values] bool ofTheJob)
    {
        var lines = new LogLines();
        var node = await StartNodeAsync(store, settings => settings with { Loggers = lines });
        var taken = $"{(ofTheJob ? "job" : "trigger")}({Scene.Id})";
        var others = await Others.TryAcquireAsync(taken);

        await node.RunAsync<ReschedulingJob>(
            Scene,
            static trigger => trigger.WithJobLock("trigger({scene})", OnConflict.Reschedule, retryAfterSeconds: 1).WithJobLock("another({scene})"),
            static job => job.WithJobLock("job({scene})", OnConflict.Reschedule, retryAfterSeconds: 1));
        var said = await lines.NextAsync("is rescheduled to").Soon();
        Scene.Act = static run => run.UntilToldAsync();
        await others!.DisposeAsync();
        var run = await Scene.NextRunAsync();
        var free = await NamesThatAreFreeAsync("scene", "job", "trigger", "another");
        run.Leave();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(said, Does.Contain(taken));
            Assert.That(free, Is.Empty);
        }
    }

    [Test]
    public async Task Counts_the_attributes_of_base_classes_and_interfaces()
    {
        var node = await StartNodeAsync(Store.Ram);
        Scene.Act = static run => run.UntilToldAsync();

        await node.RunAsync<ManyLocksJob>(Scene);
        var run = await Scene.NextRunAsync();
        var free = await NamesThatAreFreeAsync("first", "second", "third");
        run.Leave();

        Assert.That(free, Is.Empty);
    }

    [Test]
    public async Task Leaves_jobs_without_a_rule_alone([Values] Store store)
    {
        var node = await StartNodeAsync(store);
        var others = await OthersHoldAsync();

        await node.RunAsync<PlainJob>(Scene);
        var run = await Scene.NextRunAsync();
        await others.DisposeAsync();

        Assert.That(run.Handle, Is.Null);
    }

    [Test]
    public async Task Takes_the_key_of_a_delegate_job_for_its_name()
    {
        var name = new TaskCompletionSource<string?>(TaskCreationOptions.RunContinuationsAsynchronously);
        var node = await StartNodeAsync(Store.Ram, node => node with
        {
            After = quartz => quartz.ScheduleJob(
                "nightly", () => name.SetResult(JobLockHandle.Current?.Name), static trigger => trigger.StartNow().WithJobLock()),
        });

        Assert.That(await name.Task.Soon(), Is.EqualTo("DEFAULT.nightly()"));
    }

    private async Task<List<string>> NamesThatAreFreeAsync(params string[] names)
    {
        var free = new List<string>();
        foreach (var name in names)
        {
            await using var handle = await Others.TryAcquireAsync($"{name}({Scene.Id})");
            if (handle is not null) free.Add(name);
        }

        return free;
    }

    private sealed class ThrowsOnError : ISchedulerListener
    {
        ValueTask ISchedulerListener.SchedulerError(IScheduler scheduler, SchedulerErrorContext errorContext, CancellationToken cancellationToken) =>
            throw new InvalidOperationException("This listener throws.");
    }
}
