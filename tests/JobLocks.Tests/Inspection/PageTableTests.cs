using JobLocks.Inspection.Pages;

namespace JobLocks.Tests.Inspection;

/// <summary>The tables that all dashboards show.</summary>
[TestFixture]
public sealed class PageTableTests
{
    private static readonly DateTimeOffset At = new(2026, 11, 28, 12, 0, 0, TimeSpan.Zero);

    private static readonly LockHolder Holder = new() { Run = "Hangfire job 5", Application = "billing", Backend = 7, IsForeign = false, Since = At };

    [Test]
    public void Shows_a_name_for_which_runs_wait() =>
        Assert.That(
            RowOf(LockTables.WaitingNames, new(new(4), "a<b", 3, At, Holder, TimeSpan.FromSeconds(3)) { Unserved = 2 }),
            Is.EqualTo("Name: link to 4, a&lt;b, title a&lt;b | Runs: 3 <strong>2 not served</strong> | First since: at 12 | Held by: holder Hangfire job 5 of billing (backend 7) | Usual hold: 3.0 s"));

    [Test]
    public void Shows_a_held_lock_under_its_name_and_not_under_its_slot() =>
        Assert.That(
            RowOf(LockTables.HeldLocks, new(new(9), new(4), Name: null, LockMode.Shared, Holder with { Since = null, ConnectedSince = At }, UsualHold: null)),
            Is.EqualTo("Name: link to 4, key 4, title key 4 | Held by: holder Hangfire job 5 of billing (backend 7) | Since: connected at 12 | Mode: shared | Usual hold: missing none yet"));

    [Test]
    public void Shows_a_holder() =>
        Assert.That(
            RowOf(LockTables.Holders, new(new(4), new(4), "sync", LockMode.Exclusive, Holder with { Since = null }, UsualHold: null)),
            Is.EqualTo("Holder: holder Hangfire job 5 of billing (backend 7) | Since: missing not known | Mode: exclusive"));

    [TestCase(false, true, "<strong title=\"No running scheduler or Hangfire server serves the job store")]
    [TestCase(true, true, "at 12")]
    [TestCase(true, false, "missing not yet")]
    public void Shows_a_waiting_run(bool isServed, bool wasWoken, string wakeState)
    {
        var run = new QueuedRun(new(4), "sync", 2, LockMode.Exclusive, "Quartz", "Quartz x", "abc", "", At, wasWoken ? At : null) { Job = "group.job", IsServed = isServed };

        Assert.That(RowOf(LockTables.QueuedRuns, run), Does.StartWith($"Position: 2 | Run: run Quartz group.job, title abc | Since: at 12 | Mode: exclusive | Woken: {wakeState}"));
    }

    [TestCase(0, 100, 100, null, null, "1 to 100 of 100")]
    [TestCase(0, 100, 250, null, 100, "1 to 100 of 250")]
    [TestCase(100, 100, 250, 0, 200, "101 to 200 of 250")]
    [TestCase(200, 50, 250, 100, null, "201 to 250 of 250")]
    [TestCase(400, 0, 120, 100, null, "none of 120")]
    public void Names_the_part_of_a_list_and_its_neighbours(int start, int shown, long total, long? previous, int? next, string text)
    {
        var part = new ListPart(start, shown, total);

        Assert.That((part.PreviousStart, part.NextStart, part.ToString(), part.IsWhole), Is.EqualTo((previous, next, text, previous is null && next is null)));
    }

    [TestCase("100", 100)]
    [TestCase("-1", 0)]
    [TestCase("all", 0)]
    [TestCase(null, 0)]
    public void Starts_where_the_address_says(string? parameter, int start) => Assert.That(ListPart.StartIn(parameter), Is.EqualTo(start));

    private static string RowOf<TRow>(PageTable<TRow> table, TRow row) => string.Join(" | ", table.Columns.Select(column => $"{column.Header}: {column.Cell(row, new PlainCells())}"));

    private sealed class PlainCells : ICellHtml
    {
        public Markup LockName(LockKey key, string text, string title) => Markup.Of($"link to {key.Value}, {text}, title {title}");

        public Markup Holder(LockHolder holder, string text) => Markup.Of($"holder {text}");

        public Markup Run(QueuedRun run, string text, string title) => Markup.Of($"run {text}, title {title}");

        public Markup Instant(DateTimeOffset at) => Markup.Of($"at {at.Hour}");

        public Markup Missing(string text) => Markup.Of($"missing {text}");
    }
}
