using System.Threading.Channels;
using JobLocks.Primitives;
using JobLocks.Quartz.Tests.Support;
using JobLocks.Quartz.Waiting;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Tests;

/// <summary>What Quartz does to a run by itself while it waits: each has its end, and nothing is left behind in the store.</summary>
[TestFixture, CancelAfter(60_000)]
public sealed class WaitRecoveryTests : QuartzFixture
{
    [Test]
    public async Task Keeps_the_entry_of_a_run_that_misfires_while_it_waits([Values] Store store)
    {
        var misfired = new Misfires();
        var node = await StartNodeAsync(store, settings => settings with { MisfireThreshold = TimeSpan.FromSeconds(1), Before = quartz => quartz.AddTriggerListener(misfired) });
        var others = await OthersHoldAsync();
        var (first, second) = (await ParkAsync(node, 1), await ParkAsync(node, 2));

        // As if its last resort had come hours ago, while no node was there.
        var held = (await node.JobStore.Triggers.FindAsync(second.Key, CancellationToken.None))!;
        held.NextFireTimeUtc = DateTimeOffset.UtcNow.AddHours(-2);
        await node.JobStore.Triggers.WriteNextTimeAsync(held, CancellationToken.None);
        await misfired.OfAsync(second.Key);
        var again = await node.Told.NextPutBackAsync();
        await ParkedAsync(2);
        await others.DisposeAsync();
        var runs = new[] { await Scene.NextRunAsync(), await Scene.NextRunAsync() };

        using (Assert.EnterMultipleScope())
        {
            Assert.That(again.Key, Is.EqualTo(second.Key));
            Assert.That(runs.Select(static run => run.Context.Trigger.Key), Is.EqualTo([first.Key, second.Key]));
            await NothingIsLeftAsync(node, store, runs: 2);
        }
    }

    [Test]
    public async Task Starts_a_run_of_which_the_store_says_no_more_that_it_waits()
    {
        var node = await StartNodeAsync(Store.Ado);
        var others = await OthersHoldAsync();
        await ParkAsync(node, 1);
        await AskAsync("UPDATE qrtz_triggers SET retry_attempt = 0");

        await others.DisposeAsync();

        await Scene.NextRunAsync();
        await NothingIsLeftAsync(node, Store.Ado, runs: 1);
    }

    private static IEnumerable<TriggerBuilder<IJob>> Schedules()
    {
        var start = new DateTimeOffset(2026, 3, 28, 12, 0, 0, TimeSpan.Zero);
        var trigger = () => TriggerBuilder.Create().ForJob("any").StartAt(start);
        yield return trigger().WithSimpleSchedule(static simple => simple.WithInterval(TimeSpan.FromMilliseconds(300)).RepeatForever());
        yield return trigger().WithSimpleSchedule(static simple => simple.WithInterval(TimeSpan.FromHours(1)).RepeatForever().MeasureIntervalFromCompletion());
        yield return trigger().WithCronSchedule("30 15 4 * * ?");
        yield return trigger().WithCalendarIntervalSchedule(static calendar => calendar.WithInterval(1, IntervalUnit.Month));
        yield return trigger().WithDailyTimeIntervalSchedule(static daily => daily.WithInterval(90, IntervalUnit.Minute));
    }

    [TestCaseSource(nameof(Schedules))]
    public void Takes_no_trigger_at_a_time_of_its_own_schedule_for_one_that_waits(TriggerBuilder<IJob> schedule)
    {
        var trigger = (IOperableTrigger)schedule.Build();
        trigger.ComputeFirstFireTimeUtc(calendar: null);
        trigger.Triggered(calendar: null);
        if (HeldTrigger.HasFixedDelay(trigger)) trigger.NextFireTimeUtc = trigger.PreviousFireTimeUtc + TimeSpan.FromMinutes(77);

        Assert.That(trigger.NextFireTimeUtc, Is.Not.Null);
        Assert.That(HeldTrigger.HasLostMark(trigger, DateTimeOffset.MinValue), Is.False);
    }

    [Test]
    public async Task Has_a_recovered_run_wait_for_the_one_that_it_is_a_second_copy_of_and_runs_it_once()
    {
        var first = await StartNodeAsync(Store.Ado);
        Scene.Act = static run => run.UntilToldAsync();
        await first.RunAsync<BriefJob>(Scene, job: static job => job.RequestRecovery());
        var run = await Scene.NextRunAsync();
        await first.Scheduler.Shutdown(waitForJobsToComplete: false);

        // The node has gone, but its run works on: only the lock knows that.
        var second = await StartNodeAsync(Store.Ado);
        await second.Told.NextPutBackAsync();
        // It may wait for a second only, but work that has begun is owed.
        await second.Told.NextPutBackAsync();
        await second.Told.NextPutBackAsync();
        run.Leave();
        var again = await Scene.NextRunAsync();
        again.Leave();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(again.Context.Recovering, Is.True);
            Assert.That(Scene.MostAtOnce, Is.EqualTo(1));
            await NothingIsLeftAsync(second, Store.Ado, runs: 2);
        }

        await EndAsync(first);
    }

    [Test]
    public async Task Runs_what_waited_on_a_node_that_is_gone_once_and_as_no_recovery()
    {
        var first = await StartNodeAsync(Store.Ado);
        var others = await OthersHoldAsync();
        await first.RunAsync<WaitingJob>(Scene, job: static job => job.RequestRecovery());
        await ParkedAsync(1);
        await first.IsIdleAsync();
        await EndAsync(first);

        var second = await StartNodeAsync(Store.Ado);
        await others.DisposeAsync();
        var run = await Scene.NextRunAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(run.Context.Recovering, Is.False);
            await NothingIsLeftAsync(second, Store.Ado, runs: 1);
        }
    }

    [Test]
    public async Task Refires_a_run_that_had_waited_under_the_same_lock_and_lets_the_next_one_wait([Values] Store store)
    {
        var node = await StartNodeAsync(store);
        var others = await OthersHoldAsync();
        var (first, second) = (await ParkAsync(node, 1), await ParkAsync(node, 2));
        var refires = 0;
        Scene.Act = _ => Interlocked.Increment(ref refires) == 1 ? throw new JobExecutionException("once more") { RefireImmediately = true } : Task.CompletedTask;
        await others.DisposeAsync();
        var runs = new[] { await Scene.NextRunAsync(), await Scene.NextRunAsync(), await Scene.NextRunAsync() };

        using (Assert.EnterMultipleScope())
        {
            Assert.That(runs.Select(static run => run.Context.Trigger.Key), Is.EqualTo([first.Key, first.Key, second.Key]));
            Assert.That(Scene.MostAtOnce, Is.EqualTo(1));
            await NothingIsLeftAsync(node, store, runs: 3);
        }
    }

    [Test]
    public async Task Runs_in_the_order_of_arrival_where_clocks_are_hours_apart([Values] Store store)
    {
        Node[] nodes =
        [
            await StartNodeAsync(store),
            await StartNodeAsync(store, settings => settings with { Cluster = $"{settings.Cluster} ahead", Before = static quartz => quartz.UseTimeProvider(new WrongClock(2)) }),
            await StartNodeAsync(store, settings => settings with { Cluster = $"{settings.Cluster} behind", Before = static quartz => quartz.UseTimeProvider(new WrongClock(-2)) }),
        ];
        var others = await OthersHoldAsync();
        int[] order = [1, 0, 2, 2, 0, 1, 2, 1, 0];
        for (var i = 0; i < order.Length; i++) await ParkAsync(nodes[order[i]], i + 1);

        await others.DisposeAsync();
        var came = new List<string>();
        foreach (var _ in order) came.Add((await Scene.NextRunAsync()).Context.Scheduler.SchedulerName);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(came, Is.EqualTo(order.Select(node => nodes[node].Scheduler.SchedulerName)));
            Assert.That(Scene.MostAtOnce, Is.EqualTo(1));
            foreach (var node in nodes) await NothingIsLeftAsync(node, store, order.Length);
        }
    }

    [Test]
    public async Task Knows_who_waits_and_who_comes_whatever_its_clock_says([Values(-2, 2)] int hours)
    {
        var node = await StartNodeAsync(Store.Ado);
        var wrong = await StartNodeAsync(Store.Ado, settings => settings with { IsStarted = false, Before = quartz => quartz.UseTimeProvider(new WrongClock(hours)) });
        var others = await OthersHoldAsync();
        var parked = await ParkAsync(node, 1);
        var runs = new QuartzRuns(wrong.JobStore.Triggers, new StoreIdInJob(wrong.JobStore.Triggers), wrong.Scheduler.TimeProvider, TimeSpan.FromMinutes(1), NullLogger.Instance);
        var waiting = new WaitingRun(1, LockKey.Of(Scene.LockName), Scene.LockName, new("", HeldTrigger.NameOf(parked.Key), ""), IsParked: true, IsDeliveryClaimed: true, DateTimeOffset.UtcNow);

        var before = await runs.GetStatesAsync([waiting], CancellationToken.None);
        await node.Scheduler.Standby();
        await runs.WakeAsync([waiting], CancellationToken.None);
        var after = await runs.GetStatesAsync([waiting], CancellationToken.None);
        await node.Scheduler.Start();
        await others.DisposeAsync();
        await Scene.NextRunAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(before, Is.EqualTo([ParkedRunState.Parked]));
            Assert.That(after, Is.EqualTo([ParkedRunState.StartingAnywhere]));
            await NothingIsLeftAsync(node, Store.Ado, runs: 1);
        }
    }

    [Test]
    public async Task Leaves_a_run_to_a_sweep_where_the_job_store_hangs_for_longer_than_it_may_be_woken()
    {
        var node = await StartNodeAsync(Store.Ado);
        var others = await OthersHoldAsync();
        var parked = await ParkAsync(node, 1);
        await node.Scheduler.Standby();
        var runs = new QuartzRuns(node.JobStore.Triggers, new StoreIdInJob(node.JobStore.Triggers), node.Scheduler.TimeProvider, TimeSpan.FromMinutes(1), NullLogger.Instance);
        var waiting = new WaitingRun(1, LockKey.Of(Scene.LockName), Scene.LockName, new("", HeldTrigger.NameOf(parked.Key), ""), IsParked: true, IsDeliveryClaimed: true, DateTimeOffset.UtcNow)
        {
            WakeBy = BootClock.Now + TimeSpan.FromSeconds(1),
        };

        await using (await HangStoreAsync())
        {
            Assert.That(async () => await runs.WakeAsync([waiting], CancellationToken.None).AsTask().Soon(), Throws.InstanceOf<OperationCanceledException>());
        }

        var after = await runs.GetStatesAsync([waiting], CancellationToken.None);
        await node.Scheduler.Start();
        await others.DisposeAsync();
        await Scene.NextRunAsync();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(after, Is.EqualTo([ParkedRunState.Parked]));
            await NothingIsLeftAsync(node, Store.Ado, runs: 1);
        }
    }

    [Test]
    public async Task Ends_a_shutdown_while_the_job_store_hangs_that_a_run_is_put_back_into_and_recovers_it_on_another_node()
    {
        var log = new LogLines();
        var first = await StartNodeAsync(Store.Ado, settings => settings with { Loggers = log });
        var others = await OthersHoldAsync();
        var isHanging = new TaskCompletionSource<NpgsqlConnection>();
        first.JobStore.Fired = async _ => isHanging.TrySetResult(await HangStoreAsync());
        await first.RunAsync<WaitingJob>(Scene, job: static job => job.RequestRecovery());

        await using (await isHanging.Task.Soon())
        {
            await first.Scheduler.Shutdown(waitForJobsToComplete: false).AsTask().Soon();
            await log.NextAsync("could not be put back into the job store before the scheduler shut down").Soon();
        }

        var second = await StartNodeAsync(Store.Ado);
        await others.DisposeAsync();
        var run = await Scene.NextRunAsync();
        await EndAsync(first);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(run.Context.Recovering, Is.True);
            await NothingIsLeftAsync(second, Store.Ado, runs: 1);
        }
    }

    [Test]
    public async Task Parks_a_run_in_the_last_try_of_a_shutdown_after_the_job_store_has_hung()
    {
        var log = new LogLines();
        var first = await StartNodeAsync(Store.Ado, settings => settings with { Loggers = log });
        var others = await OthersHoldAsync();
        NpgsqlConnection? hanging = null;
        var hangs = new TaskCompletionSource();
        first.JobStore.Fired = async _ =>
        {
            hanging ??= await HangStoreAsync();
            hangs.TrySetResult();
        };
        // Before the last try begins, which may take one second.
        log.Logged = line =>
        {
            if (line.Contains("Next try in", StringComparison.Ordinal)) hanging?.Dispose();
        };
        await first.RunAsync<WaitingJob>(Scene);
        await hangs.Task.Soon();

        await first.Scheduler.Shutdown(waitForJobsToComplete: false).AsTask().Soon();
        var second = await StartNodeAsync(Store.Ado);
        await others.DisposeAsync();
        var run = await Scene.NextRunAsync();
        await EndAsync(first);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(run.Context.Recovering, Is.False);
            Assert.That(log.All, Has.None.Contains("could not be put back"));
            await NothingIsLeftAsync(second, Store.Ado, runs: 1);
        }
    }

    /// <summary>Every write of a trigger waits until the connection is closed.</summary>
    private async Task<NpgsqlConnection> HangStoreAsync()
    {
        var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(Database) { Pooling = false }.ConnectionString);
        await connection.OpenAsync();
        await using var hang = new NpgsqlCommand("BEGIN; SELECT 1 FROM qrtz_locks WHERE lock_name = 'TRIGGER_ACCESS' FOR UPDATE", connection);
        await hang.ExecuteNonQueryAsync();
        return connection;
    }

    private async Task<ITrigger> ParkAsync(Node node, int length)
    {
        // Now, as this node has it.
        await node.RunAsync<WaitingJob>(Scene, trigger => trigger.StartAt(node.Scheduler.TimeProvider.GetUtcNow()));
        var parked = await node.Told.NextPutBackAsync();
        await ParkedAsync(length);
        return parked;
    }

    /// <summary>No further run, no place in the line, and in the store neither a trigger nor a firing.</summary>
    private async Task NothingIsLeftAsync(Node node, Store store, int runs)
    {
        await LineEndsAsync();
        await node.IsIdleAsync();
        Assert.That(Scene.Begun, Is.EqualTo(runs));
        Assert.That((await node.Scheduler.QueryTriggers(new())).Items, Is.Empty);
        if (store == Store.Ado) Assert.That(await AskAsync($"SELECT count(*) FROM qrtz_fired_triggers WHERE sched_name = '{node.Scheduler.SchedulerName}'"), Is.Zero);
    }

    private sealed class WrongClock(int hours) : TimeProvider
    {
        public override DateTimeOffset GetUtcNow() => base.GetUtcNow().AddHours(hours);
    }

    private sealed class Misfires : ITriggerListener
    {
        private readonly Channel<TriggerKey> _keys = Channel.CreateUnbounded<TriggerKey>();

        public string Name => "misfires";

        /// <summary>Waits until this trigger has misfired. On a slow machine another one may do so before, when it is first due.</summary>
        public async Task OfAsync(TriggerKey key)
        {
            while (!(await _keys.Reader.ReadAsync().AsTask().Soon()).Equals(key)) { }
        }

        public async ValueTask TriggerMisfired(ITrigger trigger, IScheduler scheduler, CancellationToken cancellationToken = default)
            => await _keys.Writer.WriteAsync(trigger.Key, cancellationToken);
    }
}
