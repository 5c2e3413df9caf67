namespace JobLocks.Inspection.Pages;

/// <summary>
/// Renders the timeline of a lock name: a row for each run, with a thin bar while it waits and a thick bar while it holds the lock, and a band over all rows for
/// each gap. The same on all dashboards. The classes are in plots.css.
/// </summary>
internal sealed class TimelinePlot
{
    private const int Width = 1000;
    private const int Row = 14;

    // A hold of a millisecond must be visible.
    private const double NarrowestBar = 2;

    private readonly LockTimeline _timeline;
    private readonly ICellHtml _html;
    private readonly IReadOnlyList<(DateTimeOffset From, DateTimeOffset To)> _gaps;

    private TimelinePlot(LockTimeline timeline, ICellHtml html)
    {
        _timeline = timeline;
        _html = html;
        _gaps = TimelineGaps.Of(timeline);
    }

    private int Height => _timeline.Runs.Count * Row;

    /// <summary>Renders a timeline that has runs.</summary>
    public static Markup Render(LockTimeline timeline, ICellHtml html) => new TimelinePlot(timeline, html).Render();

    private Markup Render()
    {
        var summary = TimelineTexts.Summary(_timeline, _gaps);
        return Markup.Of(
            $"""
            <figure class="jl-figure">
            <svg class="jl-plot" viewBox="0 0 {Width} {Height}" height="{Height}" preserveAspectRatio="none" role="img" aria-label="{summary}">
            {Markup.Join(_gaps.Select(Gap))}{Late()}{Markup.Join(_timeline.Runs.Select(Bar))}
            </svg>
            <figcaption><span class="jl-key jl-wait">waits</span> <span class="jl-key jl-hold">holds the lock</span> <span class="jl-key jl-gap">gap: free while runs wait</span> {Recording()}</figcaption>
            <p>{summary} From {_html.Instant(_timeline.From)} to {_html.Instant(_timeline.To)}.</p>
            </figure>
            {Table()}
            """);
    }

    private Markup Recording() => _timeline.CompleteUntil < _timeline.To ? Markup.Of($"<span class=\"jl-key jl-late\">not complete yet</span>") : Markup.None;

    private Markup Gap((DateTimeOffset From, DateTimeOffset To) gap) => Markup.Of(
        $"""
        <g><title>Free for {TimelineTexts.Time(gap.To - gap.From)} while runs waited</title><rect class="jl-gap" x="{X(gap.From)}" y="0" width="{WidthOf(gap.From, gap.To)}" height="{Height}"/></g>

        """);

    /// <summary>In this time, runs that have released the lock may be missing.</summary>
    private Markup Late() => Markup.Of(
        $"""
        <g><title>Runs that have ended in this time may be missing: they are recorded every two seconds</title><rect class="jl-late" x="{X(_timeline.CompleteUntil)}" y="0" width="{Math.Round(Width - X(_timeline.CompleteUntil), 1)}" height="{Height}"/></g>

        """);

    private Markup Bar(TimelineRun run, int index)
    {
        var y = index * Row;
        var waits = run.WaitingSince is { } since
            ? Markup.Of($"<rect class=\"jl-wait\" x=\"{X(since)}\" y=\"{y + 5}\" width=\"{WidthOf(since, run.HeldSince ?? _timeline.To)}\" height=\"4\"/>")
            : Markup.None;
        var from = run.HeldSince ?? _timeline.From;
        var holds = run.IsHolding || run.ReleasedAt is not null
            ? Markup.Of($"<rect class=\"jl-hold{(run.HeldSince is null ? " jl-unknown" : "")}\" x=\"{X(from)}\" y=\"{y + 1}\" width=\"{WidthOf(from, run.ReleasedAt ?? _timeline.To)}\" height=\"12\"/>")
            : Markup.None;
        return Markup.Of(
            $"""
            <g><title>{TimelineTexts.OfRun(run, _timeline.To)}</title><rect class="jl-row" x="0" y="{y}" width="{Width}" height="{Row}"/>{waits}{holds}</g>

            """);
    }

    /// <summary>The same data as a table for screen readers. It becomes visible when it has the focus.</summary>
    private Markup Table() => Markup.Of(
        $"""
        <div class="jl-unseen" id="timeline-table" role="region" tabindex="0" aria-label="The last minutes as a table">
        <table class="table">
        <thead><tr><th scope="col">Run</th><th scope="col">Waiting since</th><th scope="col">Held since</th><th scope="col">Released</th></tr></thead>
        <tbody>{Markup.Join(_timeline.Runs.Select(run => Markup.Of(
            $"""
            <tr><td data-label="Run"><bdi>{TimelineTexts.NameOf(run)}</bdi></td><td data-label="Waiting since">{Instant(run.WaitingSince, "did not wait")}</td><td data-label="Held since">{Instant(run.HeldSince, run.IsHolding ? "not known" : "not yet")}</td><td data-label="Released">{Instant(run.ReleasedAt, "not yet")}</td></tr>

            """)))}</tbody>
        </table>
        </div>
        """);

    private Markup Instant(DateTimeOffset? at, string otherwise) => at is { } instant ? _html.Instant(instant) : _html.Missing(otherwise);

    private double WidthOf(DateTimeOffset from, DateTimeOffset to) => Math.Round(Math.Max(NarrowestBar, X(to) - X(from)), 1);

    private double X(DateTimeOffset at) => Math.Round(Math.Clamp((at - _timeline.From) / (_timeline.To - _timeline.From), 0, 1) * Width, 1);
}
