using System.Globalization;
using JobLocks.Primitives;

namespace JobLocks.Inspection.Pages;

/// <summary>The sentences about a timeline.</summary>
internal static class TimelineTexts
{
    public const string Heading = "Last minutes";

    public const string WhenEmpty = "No run has held the lock or waited for it in the last minutes. A run appears here while it waits, while it holds the lock, and when it has released the lock.";

    public const string WhenUnreadable = "The last minutes cannot be shown: this role may not read the table recent_runs, or the schema does not exist. See the GRANT lines in docs/schema.sql.";

    /// <summary>What a run did, on its bar: <c>Hangfire job 7: waited 1.2 s, held the lock for 40 ms</c>.</summary>
    public static string OfRun(TimelineRun run, DateTimeOffset now)
    {
        var waited = run.WaitingSince is { } since && (run.HeldSince ?? now) is var until ? $"waited {Time(until - since)}, " : "";
        return $"{NameOf(run)}: {run switch
        {
            { ReleasedAt: { } released, HeldSince: { } held } => $"{waited}held the lock for {Time(released - held)}",
            { IsHolding: true, HeldSince: { } held } => $"{waited}has held the lock for {Time(now - held)}",
            { IsHolding: true } => "holds the lock, since when is not known",
            _ => $"has waited for {Time(now - (run.WaitingSince ?? now))}",
        }}";
    }

    /// <summary>The name of a run.</summary>
    public static string NameOf(TimelineRun run) => run.Run is { } name ? DisplayText.Name(name) : "an unknown run";

    /// <summary>How many runs are shown, and for how long the lock was free while runs waited.</summary>
    public static string Summary(LockTimeline timeline, IReadOnlyList<(DateTimeOffset From, DateTimeOffset To)> gaps) =>
        $"{Count(timeline.Runs.Count, "run")} in {Time(timeline.To - timeline.From)}.{OfGaps(timeline, gaps)}{OfLeftOut(timeline)}";

    /// <summary>A duration, in milliseconds where it is short.</summary>
    public static string Time(TimeSpan time) => time < TimeSpan.FromSeconds(1)
        ? string.Create(CultureInfo.InvariantCulture, $"{Math.Max(0, time.TotalMilliseconds):0} ms")
        : DisplayText.Time(time);

    private static string OfGaps(LockTimeline timeline, IReadOnlyList<(DateTimeOffset From, DateTimeOffset To)> gaps)
    {
        if (!timeline.IsComplete) return " Gaps are not marked, because some of the runs that have released the lock are missing.";
        if (TimelineGaps.UnknownHolder(timeline) is { } holder) return $" Gaps are not marked, because it is not known since when {NameOf(holder)} holds the lock.";
        if (gaps.Count == 0) return TimelineGaps.HasWaits(timeline) ? " No gap: a run held the lock whenever a run waited." : "";

        return $" The lock was free for {Time(gaps.Aggregate(TimeSpan.Zero, static (sum, gap) => sum + (gap.To - gap.From)))} while runs waited, in {Count(gaps.Count, "gap")}.";
    }

    private static string OfLeftOut(LockTimeline timeline) => timeline.LeftOut == 0 ? "" : $" {Count(timeline.LeftOut, "further run")} of the last minutes {(timeline.LeftOut == 1 ? "is" : "are")} left out.";

    private static string Count(long count, string noun) => string.Create(CultureInfo.InvariantCulture, $"{count} {noun}{(count == 1 ? "" : "s")}");
}
