using JobLocks.Quartz.Tests.Support;
using Microsoft.Extensions.DependencyInjection;
using Quartz;

namespace JobLocks.Quartz.Tests.Mechanisms;

/// <summary>What a job sees of itself after it was put off is what it sees where JobLocks is not set up.</summary>
[TestFixture, CancelAfter(90_000)]
public sealed class JobViewTests : MechanismFixture
{
    // Between two occurrences a busy machine has the time to take the lock.
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(6);

    public enum Shape
    {
        Plain,
        WithEverything,
        Calendar,
    }

    [Test, Pairwise]
    public async Task Sees_its_own_trigger_times_data_and_store([Values] Store store, [Values] PutOff how, [Values] Shape shape)
    {
        IReadOnlyList<string> view = [];
        Scene.Act = async run => view = await JobView.TakeAsync(run.Context);

        var (bare, putOff) = await OnBothAsync(
            store,
            how,
            async node =>
            {
                await node.Scheduler.AddCalendar("all days", new global::Quartz.Impl.Calendar.BaseCalendar { Description = "all days" });
                await ScheduleAsync(node, JobType(how), trigger => SetShape(trigger, shape), SetEverything);
            },
            async node =>
            {
                await RunEndsAsync(node);
                return view;
            });

        Assert.That(putOff, Is.EqualTo(bare));
    }

    [Test]
    public async Task Sees_the_second_occurrence_of_its_trigger_with_the_first_before_it([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        await ScheduleAsync(node, JobType(how), trigger => trigger.StartAt(StartSoon()).WithSimpleSchedule(Interval, 1));
        await Scene.NextRunAsync();
        var others = await Others.AcquireAsync(Scene.LockName, Eventually.Patience);
        await IsPutOffAsync(node, how);

        await others.DisposeAsync();
        var second = await Scene.NextRunAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(second.Context.Trigger.Key, Is.EqualTo(Mine));
            Assert.That(second.Context.PreviousFireTimeUtc, Is.EqualTo(Start));
            Assert.That(second.Context.ScheduledFireTimeUtc, Is.EqualTo(Start + Interval));
            Assert.That(second.Context.NextFireTimeUtc, Is.Null);
            Assert.That(second.Context.FireTimeUtc, Is.GreaterThan(Start + Interval));
        }
    }

    [Test]
    public async Task Sees_that_it_was_started_by_hand([Values] Store store, [Values] PutOff how)
    {
        IReadOnlyList<string> view = [];
        Scene.Act = async run => view = [.. (await JobView.TakeAsync(run.Context)).Where(static line => line.StartsWith("Merged", StringComparison.Ordinal)), run.Context.Trigger.Key.Group];

        var (bare, putOff) = await OnBothAsync(
            store,
            how,
            async node =>
            {
                await node.Scheduler.AddJob(Job(JobType(how), job => job.StoreDurably().UsingJobData(Scene.Key, Scene.Id)));
                await node.Scheduler.TriggerJob(MyJob, new() { ["colour"] = "green" });
            },
            async node =>
            {
                await RunEndsAsync(node);
                var entry = (await Eventually.IsTrueOf(node.ExecutionsAsync, static entries => entries.Count > 0, "the entry"))[0];
                return (IReadOnlyList<string>)[.. view, $"manual {entry.Manual}"];
            });

        Assert.That(bare, Has.Some.EqualTo("manual True"));
        Assert.That(putOff, Is.EqualTo(bare));
    }

    [Test]
    public async Task Sees_the_input_and_the_key_that_its_caller_was_given([Values] Store store)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        var scheduled = await node.Scheduler.ScheduleJob<WaitingInputJob, JobInput>(new(Scene.Id, 1.10m), TimeSpan.Zero);
        await IsPutOffAsync(node, PutOff.Wait);

        await others.DisposeAsync();
        var run = await RunEndsAsync(node);

        Assert.That(run.Context.Trigger.Key, Is.EqualTo(scheduled.TriggerKey));
    }

    [Test]
    public async Task Sees_the_slot_that_it_fills_in_afterwards([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var day = new DateTimeOffset(Start.UtcDateTime.Date, TimeSpan.Zero);
        await ScheduleAsync(node, JobType(how), trigger => trigger.StartAt(day.AddDays(-3)).WithCronSchedule("0 0 0 * * ?", static cron => cron.InTimeZone(TimeZoneInfo.Utc).WithMisfireInstruction(CronTriggerMisfireInstruction.DoNothing)));
        var others = await OthersHoldAsync();
        var backfill = await node.Scheduler.Backfill(Mine, day.AddDays(-2), day.AddDays(-2).AddHours(1));
        await IsPutOffAsync(node, how);
        var again = await node.Scheduler.Backfill(Mine, day.AddDays(-2), day.AddDays(-2).AddHours(1));

        await others.DisposeAsync();
        var run = await RunEndsAsync(node);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(again.AlreadyScheduled, Is.EqualTo(1), "filled in twice");
            Assert.That(run.Context.Trigger.Key, Is.EqualTo(backfill.ScheduledTriggers.Single()));
            Assert.That(run.Context.GetBackfillSlot(), Is.EqualTo(day.AddDays(-2)));
        }
    }

    [Test]
    public async Task Runs_at_the_start_of_the_scheduler_under_the_trigger_that_this_made([Values] Store store, [Values] PutOff how)
    {
        var others = await OthersHoldAsync();
        var node = await StartWatchedAsync(store, settings => settings with
        {
            Before = quartz => quartz
                .AddJob<PlainJob>(job => job.WithIdentity(MyJob).StoreDurably().UsingJobData(Scene.Key, Scene.Id)
                    .WithJobLock("scene({scene})", how == PutOff.Wait ? OnConflict.Wait : OnConflict.Reschedule, retryAfterSeconds: 1))
                .RunAtStartup(MyJob),
        });
        await IsPutOffAsync(node, how);
        await others.DisposeAsync();

        var run = await RunEndsAsync(node);

        Assert.That(run.Context.Trigger.Key.Group, Is.EqualTo(SchedulerConstants.StartupGroup));
    }

    [Test]
    public async Task Finds_its_context_where_services_ask_for_it([Values] Store store, [Values] PutOff how)
    {
        var node = await StartWatchedAsync(store);
        var others = await OthersHoldAsync();
        IJobExecutionContext? found = null;
        Scene.Act = _ => Task.FromResult(found = node.Services.GetRequiredService<IJobExecutionContextAccessor>().Current);
        await ScheduleAsync(node, JobType(how));
        await IsPutOffAsync(node, how);

        await others.DisposeAsync();
        await RunEndsAsync(node);

        Assert.That(found?.Trigger.Key, Is.EqualTo(Mine));
    }

    private void SetShape(TriggerBuilder<IJob> trigger, Shape shape)
    {
        switch (shape)
        {
            case Shape.WithEverything:
                trigger.WithDescription("described").WithPriority(7).WithExecutionGroup("{{braces}}").WithRetryPolicy(RetryPolicy.Fixed(3, TimeSpan.FromHours(1)))
                    .WithCalendarName("all days").UsingJobData("colour", "green").UsingJobData("size", 5).EndAt(Start.AddDays(1));
                break;
            case Shape.Calendar:
                // A repeating simple trigger would start at another time on each of the two schedulers.
                trigger.WithCalendarIntervalSchedule(static calendar => calendar.WithInterval(1, IntervalUnit.Day)).WithOverlapPolicy(OverlapPolicy.AllowAll);
                break;
        }
    }

    private static void SetEverything(JobBuilder<IJob> job) => job.WithDescription("described").UsingJobData("size", 4).UsingJobData("number", 1).RequestRecovery();
}
