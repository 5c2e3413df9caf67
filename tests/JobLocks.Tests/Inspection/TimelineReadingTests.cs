using JobLocks.Diagnostics;
using JobLocks.Inspection;

namespace JobLocks.Tests.Inspection;

/// <summary>Which runs a timeline contains, when it begins, and what a process keeps for it.</summary>
[TestFixture]
public sealed class TimelineReadingTests
{
    private static readonly DateTimeOffset Now = new(2026, 1, 2, 14, 6, 30, TimeSpan.Zero);
    private static readonly LockKey Key = LockKey.Of("sync(4)");

    [Test]
    public void Begins_with_the_first_run_where_all_runs_are_shown()
    {
        var timeline = new TimelineReading(Now, [Ended(10, 20, 30), Ended(null, 40, 50)], EndedTotal: 2).Build([], NoWaiting);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(timeline.From, Is.EqualTo(Now.AddSeconds(-50)));
            Assert.That(timeline.Runs.Select(static run => run.ReleasedAt), Is.EqualTo([Now.AddSeconds(-40), Now.AddSeconds(-10)]), "the oldest is the first");
            Assert.That((timeline.LeftOut, timeline.IsComplete), Is.EqualTo((0L, true)));
        }
    }

    [Test]
    public void Begins_with_the_grant_of_the_first_run_where_older_runs_are_left_out()
    {
        var ended = Enumerable.Range(1, 50).Select(static second => Ended(second, second + 1, second + 100)).ToList();

        var timeline = new TimelineReading(Now, ended, EndedTotal: 80) { Delay = TimeSpan.FromSeconds(3) }.Build([], NoWaiting);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(timeline.From, Is.EqualTo(Now.AddSeconds(-51)));
            Assert.That(timeline.CompleteUntil, Is.EqualTo(Now.AddSeconds(-3)));
            Assert.That((timeline.Runs.Count, timeline.LeftOut, timeline.IsComplete), Is.EqualTo((50, 30L, true)));
        }
    }

    [TestCase(-51, ExpectedResult = true), TestCase(-50, ExpectedResult = false)]
    public bool Is_complete_with_the_most_runs_where_no_run_is_missing_between_them(int missingUntil)
    {
        var ended = Enumerable.Range(1, 50).Select(static second => Ended(second, second + 1, null)).ToList();

        return new TimelineReading(Now, ended, EndedTotal: 80) { MissingUntil = Now.AddSeconds(missingUntil) }.Build([], NoWaiting).IsComplete;
    }

    [Test]
    public void Begins_with_the_grant_of_the_first_run_although_that_is_less_than_a_second_ago()
    {
        var ended = Enumerable.Range(1, 50).Select(static number => new TimelineRun("run", null, Now.AddMilliseconds(-number - 1), Now.AddMilliseconds(-number))).ToList();

        var timeline = new TimelineReading(Now, ended, EndedTotal: 80).Build([], NoWaiting);

        Assert.That((timeline.From, timeline.IsComplete), Is.EqualTo((Now.AddMilliseconds(-51), true)));
    }

    [Test]
    public void Begins_five_whole_minutes_ago_at_most()
    {
        var timeline = new TimelineReading(Now, [Ended(10, 20, 4000)], EndedTotal: 1).Build([], NoWaiting);

        Assert.That(timeline.From, Is.EqualTo(new DateTimeOffset(2026, 1, 2, 14, 1, 0, TimeSpan.Zero)));
    }

    [Test]
    public void Has_room_for_holders_and_waiting_runs()
    {
        var ended = Enumerable.Range(1, 50).Select(static second => Ended(second, second + 1, null)).ToList();
        var holders = Enumerable.Range(1, 30).Select(static number => Held($"holder {number}")).ToList();
        var waiting = new LockPage<QueuedRun>([.. Enumerable.Range(1, 100).Select(Waiting)], 1000);

        var timeline = new TimelineReading(Now, ended, EndedTotal: 50).Build(holders, waiting);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(timeline.Runs.Count(static run => run.ReleasedAt is not null), Is.EqualTo(15));
            Assert.That(timeline.Runs.Count(static run => run.IsHolding), Is.EqualTo(20));
            Assert.That(timeline.Runs.Skip(35).Select(static run => run.Run), Is.EqualTo(Enumerable.Range(1, 15).Select(static number => $"Hangfire job {number}")));
            Assert.That(timeline.LeftOut, Is.EqualTo(35 + 10 + 985));
        }
    }

    [Test]
    public void Says_that_releases_are_missing_where_fewer_were_recorded_than_counted() =>
        Assert.That(new TimelineReading(Now, [Ended(10, 20, null)], EndedTotal: 2).Build([], NoWaiting).IsComplete, Is.False);

    [Test]
    public void Keeps_the_newest_fifty_runs_of_a_name()
    {
        var counter = new StatisticsCounter();
        for (var i = 1; i <= 73; i++) counter.Ran(Key, "sync(4)", new($"{i}", null, Now, Now.AddSeconds(i)));

        var statistics = counter.Take().Single();

        using (Assert.EnterMultipleScope())
        {
            Assert.That((statistics.Runs, statistics.OlderRuns, statistics.Held), Is.EqualTo((73L, 23L, TimeSpan.FromSeconds(73 * 74 / 2))));
            Assert.That(statistics.Newest.All.Select(static run => run.Run), Is.EqualTo(Enumerable.Range(24, 50).Select(static number => $"{number}")));
        }
    }

    [Test]
    public void Keeps_a_thousand_runs_of_all_names_and_lets_a_newer_run_replace_an_older_one()
    {
        var counter = new StatisticsCounter();
        for (var i = 1; i <= 6; i++) counter.Ran(Key, "sync(4)", new($"{i}", null, Now, Now));
        for (var i = 0; i < 2000; i++) counter.Ran(new(i), $"other {i}", new("other", null, Now, Now));
        for (var i = 7; i <= 9; i++) counter.Ran(Key, "sync(4)", new($"{i}", null, Now, Now));

        var taken = counter.Take();

        using (Assert.EnterMultipleScope())
        {
            Assert.That(taken.Sum(static statistics => statistics.Newest.Count), Is.EqualTo(1000));
            Assert.That(taken.Single(static statistics => statistics.Key == Key).Newest.All.Select(static run => run.Run), Is.EqualTo(["4", "5", "6", "7", "8", "9"]));
            Assert.That(taken.Sum(static statistics => statistics.Runs), Is.EqualTo(2009));
        }
    }

    private static LockPage<QueuedRun> NoWaiting => new([], 0);

    /// <summary>A run that was released, granted and enqueued so many seconds ago.</summary>
    private static TimelineRun Ended(int? released, int held, int? waiting) =>
        new("run", waiting is { } since ? Now.AddSeconds(-since) : null, Now.AddSeconds(-held), Now.AddSeconds(-released ?? -held));

    private static HeldLock Held(string run) => new(Key, Key, "sync(4)", LockMode.Shared, new() { Backend = 1, IsForeign = false, Run = run, Since = Now.AddSeconds(-1) }, null);

    private static QueuedRun Waiting(int number) => new(Key, "sync(4)", number, LockMode.Exclusive, "Hangfire", "Hangfire store", "run", "", Now.AddSeconds(-1), null) { Job = $"{number}" };
}
