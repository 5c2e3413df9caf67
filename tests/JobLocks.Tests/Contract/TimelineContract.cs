namespace JobLocks.Tests.Contract;

/// <summary>What inspection shows of the last minutes of a name, and of the last hour of all locks.</summary>
[CancelAfter(60_000)]
public abstract class TimelineContract : ContractFixture
{
    private protected TimelineContract(ContractBackend backend)
        : base(backend)
    {
    }

    private IJobLockInspector Inspector => Keeper.Inspection;

    [Test]
    public async Task Shows_a_bar_for_each_run_of_the_last_minutes(CancellationToken stop)
    {
        var before = DateTimeOffset.UtcNow;
        var first = (await Keeper.TryAcquireAllAsync([Request], new() { Run = "Hangfire job 1187" }, entry: null, blocks: false, stop)).Handles[0];
        await ParkAsync(2, stop);
        await first.DisposeAsync();
        await WhenWokenAsync(2, stop);
        await (await EnterAsync(2, stop)).DisposeAsync();

        var timeline = await WhenAsync(static timeline => timeline.Runs.Count(static run => run.ReleasedAt is not null) == 2, stop);

        var (one, two) = (timeline.Runs[0], timeline.Runs[1]);
        using (Assert.EnterMultipleScope())
        {
            Assert.That((one.Run, one.WaitingSince, one.IsHolding), Is.EqualTo(("Hangfire job 1187", (DateTimeOffset?)null, false)));
            Assert.That((two.Run, two.IsHolding), Is.EqualTo(("Test job 1", false)));
            Assert.That(one.HeldSince, Is.GreaterThanOrEqualTo(before).And.LessThanOrEqualTo(one.ReleasedAt!));
            Assert.That(two.HeldSince, Is.GreaterThanOrEqualTo(one.ReleasedAt!).And.LessThanOrEqualTo(two.ReleasedAt!));
            Assert.That(two.WaitingSince, Is.Not.Null.And.LessThanOrEqualTo(two.HeldSince!));
            Assert.That(timeline.From, Is.LessThanOrEqualTo(one.HeldSince!));
            Assert.That(timeline.To, Is.GreaterThanOrEqualTo(timeline.CompleteUntil));
            Assert.That((timeline.LeftOut, timeline.IsComplete), Is.EqualTo((0L, true)));
        }
    }

    [Test]
    public async Task Shows_the_holder_and_the_waiting_runs_as_open_bars(CancellationToken stop)
    {
        var first = await HoldAsync(stop);
        await ParkAsync(1, stop);
        await first.DisposeAsync();
        await WhenWokenAsync(1, stop);
        await using var held = await EnterAsync(1, stop);
        await ParkAsync(2, stop);

        var open = (await TimelineAsync(stop)).Runs.Where(static run => run.ReleasedAt is null).ToList();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(open.Select(static run => (run.Run, run.IsHolding)), Is.EqualTo([("Test job 1", true), ("Test job 2", false)]));
            Assert.That(open[0].WaitingSince, Is.Not.Null.And.LessThanOrEqualTo(open[0].HeldSince!));
            Assert.That(open[0].HeldSince, Is.EqualTo(held.Since).Within(TimeSpan.FromMilliseconds(1)));
            Assert.That((open[1].WaitingSince is null, open[1].HeldSince), Is.EqualTo((false, (DateTimeOffset?)null)));
        }
    }

    [Test]
    public async Task Shows_since_when_code_waited_for_its_lock(CancellationToken stop)
    {
        var held = await HoldAsync(stop);
        var waiting = Locks.AcquireAsync(Name, Patience, stop);
        await held.DisposeAsync();
        await (await waiting).DisposeAsync();

        var timeline = await WhenAsync(static timeline => timeline.Runs.Count(static run => run.ReleasedAt is not null) == 2, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(timeline.Runs[0].WaitingSince, Is.Null);
            Assert.That(timeline.Runs[1].WaitingSince, Is.Not.Null.And.LessThanOrEqualTo(timeline.Runs[1].HeldSince!));
        }
    }

    [Test]
    public async Task Shows_the_newest_fifty_runs_and_counts_the_others(CancellationToken stop)
    {
        for (var i = 0; i < 60; i++) await (await HoldAsync(stop)).DisposeAsync();

        var timeline = await WhenAsync(static timeline => timeline.Runs.Count + timeline.LeftOut == 60, stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That((timeline.Runs.Count, timeline.LeftOut, timeline.IsComplete), Is.EqualTo((50, 10L, true)));
            Assert.That(timeline.Runs, Is.Ordered.By(nameof(TimelineRun.ReleasedAt)));
            Assert.That(timeline.From, Is.EqualTo(timeline.Runs[0].HeldSince));
        }
    }

    [Test]
    public async Task Shows_no_run_of_a_name_that_no_run_has_used(CancellationToken stop)
    {
        var timeline = await TimelineAsync(stop);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(timeline.Runs, Is.Empty);
            Assert.That((timeline.LeftOut, timeline.IsComplete), Is.EqualTo((0L, true)));
        }
    }

    [Test]
    public async Task Takes_samples_of_held_locks_waiting_runs_and_names_whose_lock_is_free(CancellationToken stop)
    {
        Configure(static options => options.SampleInterval = TimeSpan.FromMilliseconds(100));
        var free = $"{Name} free";
        await using var held = await HoldAsync(stop);
        for (var i = 0; i < 2; i++) await ParkAsync(i, stop);
        await ParkAsync(2, new(free, LockKey.Of(free)), stop);

        IReadOnlyList<LockSample> samples;
        do samples = (await Inspector.GetOverviewAsync(stop)).Samples;
        while (samples is not [.., { Held: 1, Waiting: 3, FreeWhileWaiting: 1 }]);

        Assert.That(samples, Is.Ordered.By(nameof(LockSample.At)));
    }

    private async Task<LockTimeline> TimelineAsync(CancellationToken stop) => (await Inspector.GetNameAsync(Key, stop)).Timeline!;

    /// <summary>Reads until a process has recorded what it records every two seconds.</summary>
    private async Task<LockTimeline> WhenAsync(Func<LockTimeline, bool> isRecorded, CancellationToken stop)
    {
        while (true)
        {
            var timeline = await TimelineAsync(stop);
            if (isRecorded(timeline)) return timeline;

            await Task.Delay(TimeSpan.FromMilliseconds(50), stop);
        }
    }
}

/// <summary>The contract over PostgreSQL.</summary>
[TestFixture]
public sealed class PostgresTimelineTests() : TimelineContract(new PostgresBackend());

/// <summary>The contract in memory.</summary>
[TestFixture]
public sealed class InMemoryTimelineTests() : TimelineContract(new InMemoryBackend());
