using System.Xml.Linq;
using JobLocks.Inspection.Pages;

namespace JobLocks.Tests.Inspection;

/// <summary>The plots of the pages: which gaps they mark, what they say, and that no name of a run becomes markup.</summary>
[TestFixture]
public sealed class TimelinePlotTests
{
    private static readonly DateTimeOffset Begin = new(2026, 1, 2, 14, 0, 0, TimeSpan.Zero);

    [Test]
    public void Marks_a_gap_where_no_run_holds_the_lock_although_a_run_waits()
    {
        var timeline = Timeline(Run("first", null, 0, 10), Run("second", 5, 14, 20), Run("third", 30, 31, 40));

        Assert.That(Gaps(timeline), Is.EqualTo([(10d, 14d), (30d, 31d)]));
    }

    [Test]
    public void Marks_no_gap_while_another_run_holds_the_lock_or_no_run_waits() =>
        Assert.That(Gaps(Timeline(Run("first", null, 0, 10), Run("second", null, 5, 20), Run("third", 8, 20, 30), Run("fourth", null, 35, 40))), Is.Empty);

    [Test]
    public void Marks_one_gap_for_several_waiting_runs() =>
        Assert.That(Gaps(Timeline(Run("first", null, 0, 10), Run("second", 5, 14, 20), Run("third", 6, null, null))), Is.EqualTo([(10d, 14d), (20d, 57d)]));

    [Test]
    public void Marks_no_gap_where_a_run_may_be_missing()
    {
        var holder = new TimelineRun("nightly.py", null, null, null) { IsHolding = true };

        using (Assert.EnterMultipleScope())
        {
            Assert.That(Gaps(Timeline(Run("second", 5, 14, 20)) with { IsComplete = false }), Is.Empty);
            Assert.That(Gaps(Timeline(Run("second", 5, 14, 20), holder)), Is.Empty);
            Assert.That(Gaps(Timeline(Run("waits", 58, null, null))), Is.Empty, "releases after this time may not be recorded yet");
        }
    }

    [Test]
    public void Says_how_long_each_run_waited_and_held_the_lock()
    {
        var now = Begin.AddSeconds(60);

        using (Assert.EnterMultipleScope())
        {
            Assert.That(TimelineTexts.OfRun(Run("job 1", 5, 6.2, 6.24), now), Is.EqualTo("job 1: waited 1.2 s, held the lock for 40 ms"));
            Assert.That(TimelineTexts.OfRun(Run("job 1", null, 6, 16), now), Is.EqualTo("job 1: held the lock for 10 s"));
            Assert.That(TimelineTexts.OfRun(Run("job 1", 5, 50, null), now), Is.EqualTo("job 1: waited 45 s, has held the lock for 10 s"));
            Assert.That(TimelineTexts.OfRun(Run("job 1", 55, null, null), now), Is.EqualTo("job 1: has waited for 5.0 s"));
            Assert.That(TimelineTexts.OfRun(new(null, null, null, null) { IsHolding = true }, now), Is.EqualTo("an unknown run: holds the lock, since when is not known"));
        }
    }

    [Test]
    public void Says_how_many_runs_and_gaps_there_are_and_how_many_runs_are_left_out()
    {
        var timeline = Timeline(Run("first", null, 0, 10), Run("second", 5, 14, 20)) with { LeftOut = 3 };

        using (Assert.EnterMultipleScope())
        {
            Assert.That(
                TimelineTexts.Summary(timeline, TimelineGaps.Of(timeline)), Is.EqualTo("2 runs in 60 s. The lock was free for 4.0 s while runs waited, in 1 gap. 3 further runs of the last minutes are left out."));
            Assert.That(TimelineTexts.Summary(Timeline(Run("first", null, 0, 14), Run("second", 5, 14, 20)), []), Is.EqualTo("2 runs in 60 s. No gap: a run held the lock whenever a run waited."));
            Assert.That(
                TimelineTexts.Summary(timeline with { IsComplete = false }, []),
                Is.EqualTo("2 runs in 60 s. Gaps are not marked, because some of the runs that have released the lock are missing. 3 further runs of the last minutes are left out."));
        }
    }

    [Test]
    public void Says_why_gaps_are_not_marked_while_it_is_unknown_since_when_the_lock_is_held()
    {
        var timeline = Timeline(Run("second", 5, 14, 20), new("nightly.py", null, null, null) { IsHolding = true });

        Assert.That(
            TimelineTexts.Summary(timeline, TimelineGaps.Of(timeline)), Is.EqualTo("2 runs in 60 s. Gaps are not marked, because it is not known since when nightly.py holds the lock."));
    }

    [Test]
    public void Says_nothing_of_gaps_where_no_run_has_waited_in_the_time_that_is_recorded()
    {
        var timeline = Timeline(Run("first", null, 0, 10), Run("waits", 58, null, null));

        Assert.That(TimelineTexts.Summary(timeline, TimelineGaps.Of(timeline)), Is.EqualTo("2 runs in 60 s."));
    }

    [Test]
    public void Draws_a_bar_for_each_run_and_each_gap_and_encodes_the_names_of_runs()
    {
        var drawn = Parse(TimelinePlot.Render(Timeline(Run("<b>first</b>\u202E\"", null, 0, 10), Run("second", 5, 14, 20), Run("holds", 15, 20, null), Run("waits", 50, null, null)), new PlainCells()));

        var bars = drawn.Descendants("rect").ToLookup(static rect => rect.Attribute("class")!.Value, StringComparer.Ordinal);
        using (Assert.EnterMultipleScope())
        {
            Assert.That((bars["jl-wait"].Count(), bars["jl-hold"].Count(), bars["jl-gap"].Count(), bars["jl-late"].Count()), Is.EqualTo((3, 3, 1, 1)));
            Assert.That(bars["jl-hold"].Select(static rect => (rect.Attribute("x")!.Value, rect.Attribute("width")!.Value)), Is.EqualTo([("0", "166.7"), ("233.3", "100"), ("333.3", "666.7")]));
            Assert.That(drawn.Descendants("title").Select(static title => title.Value), Does.Contain("<b>first</b><U+202E>\": held the lock for 10 s").And.Contain("Free for 4.0 s while runs waited"));
            Assert.That(drawn.Descendants("svg").Single().Attribute("role")!.Value, Is.EqualTo("img"));
            Assert.That(drawn.Descendants("svg").Single().Attribute("aria-label")!.Value, Does.StartWith("4 runs in 60 s. "));
            Assert.That(drawn.Descendants("tbody").Single().Elements().Select(static row => row.Elements().First().Value), Is.EqualTo(["<b>first</b><U+202E>\"", "second", "holds", "waits"]));
            Assert.That(drawn.Descendants("b"), Is.Empty);
        }
    }

    [Test]
    public void Draws_samples_with_a_scale_for_each_line_and_nothing_where_samples_are_missing()
    {
        LockSample[] samples = [Sample(0, 8000, 4, 0), Sample(10, 4000, 2, 1), Sample(40, 8000, 0, 0)];

        var drawn = Parse(SamplesPlot.Render(samples, Begin.AddSeconds(60), new PlainCells()));

        using (Assert.EnterMultipleScope())
        {
            Assert.That(drawn.Descendants("path").Select(static path => path.Attribute("d")!.Value), Is.EqualTo([
                "M0 40V2H60V21H120V40ZM240 40V2H300V40Z",
                "M0 40V2H60V21H120V40ZM240 40V40H300V40Z",
                "M0 40V40H60V2H120V40ZM240 40V40H300V40Z",
            ]));
            Assert.That(drawn.Descendants("svg").Select(static svg => svg.Attribute("aria-label")!.Value), Is.EqualTo([
                "Held locks: 8000 at the last sample, at most 8000.",
                "Waiting runs: 0 at the last sample, at most 4.",
                "Names whose lock is free while runs wait: 0 at the last sample, at most 1.",
            ]));
        }
    }

    private static XElement Parse(Markup markup) => XElement.Parse($"<all>{markup}</all>");

    private static LockSample Sample(int second, long held, long waiting, long free) => new(Begin.AddSeconds(second), held, waiting, free);

    private static IEnumerable<(double From, double To)> Gaps(LockTimeline timeline) => TimelineGaps.Of(timeline).Select(static gap => ((gap.From - Begin).TotalSeconds, (gap.To - Begin).TotalSeconds));

    private static LockTimeline Timeline(params TimelineRun[] runs) => new(Begin, Begin.AddSeconds(60), Begin.AddSeconds(57), runs, 0) { IsComplete = true };

    private static TimelineRun Run(string name, double? waiting, double? held, double? released) => new(name, At(waiting), At(held), At(released)) { IsHolding = held is not null && released is null };

    private static DateTimeOffset? At(double? second) => second is { } given ? Begin.AddSeconds(given) : null;

    private sealed class PlainCells : ICellHtml
    {
        public Markup LockName(LockKey key, string text, string title) => Markup.Of($"{text}");

        public Markup Holder(LockHolder holder, string text) => Markup.Of($"{text}");

        public Markup Run(QueuedRun run, string text, string title) => Markup.Of($"{text}");

        public Markup Instant(DateTimeOffset at) => Markup.Of($"{at.ToString("O")}");

        public Markup Missing(string text) => Markup.Of($"{text}");
    }
}
