namespace JobLocks.Inspection.Pages;

/// <summary>The gaps of a timeline: the times in which no run holds the lock although a run waits for it.</summary>
internal static class TimelineGaps
{
    /// <summary>
    /// The gaps, in the order of time. None where releases are missing: a run that is not on the timeline may have held the lock. For the same reason none after
    /// <see cref="LockTimeline.CompleteUntil"/>, and none while the lock has a holder whose grant is not recorded.
    /// </summary>
    public static IReadOnlyList<(DateTimeOffset From, DateTimeOffset To)> Of(LockTimeline timeline)
    {
        if (!timeline.IsComplete || UnknownHolder(timeline) is not null) return [];

        var waits = Waits(timeline);
        var holds = Joined(timeline.Runs.Where(static run => run.HeldSince is not null).Select(run => Within(timeline, run.HeldSince!.Value, run.ReleasedAt)));
        return [.. waits.SelectMany(wait => Without(wait, holds)).Where(static gap => gap.To > gap.From)];
    }

    /// <summary>A holder whose grant is not recorded; null where there is none.</summary>
    public static TimelineRun? UnknownHolder(LockTimeline timeline) => timeline.Runs.FirstOrDefault(static run => run is { IsHolding: true, HeldSince: null });

    /// <summary>Whether a run waited in the time in which gaps are marked.</summary>
    public static bool HasWaits(LockTimeline timeline) => Waits(timeline).Count > 0;

    private static List<(DateTimeOffset From, DateTimeOffset To)> Waits(LockTimeline timeline) =>
        Joined(timeline.Runs.Where(static run => run.WaitingSince is not null).Select(run => Within(timeline, run.WaitingSince!.Value, run.HeldSince)));

    private static (DateTimeOffset From, DateTimeOffset To) Within(LockTimeline timeline, DateTimeOffset from, DateTimeOffset? to) =>
        (from > timeline.From ? from : timeline.From, to is { } end && end < timeline.CompleteUntil ? end : timeline.CompleteUntil);

    /// <summary>The same times, where overlapping times are joined, in the order of time.</summary>
    private static List<(DateTimeOffset From, DateTimeOffset To)> Joined(IEnumerable<(DateTimeOffset From, DateTimeOffset To)> times)
    {
        var joined = new List<(DateTimeOffset From, DateTimeOffset To)>();
        foreach (var time in times.Where(static time => time.To > time.From).OrderBy(static time => time.From))
        {
            if (joined is [.., var last] && time.From <= last.To) joined[^1] = (last.From, last.To > time.To ? last.To : time.To);
            else joined.Add(time);
        }

        return joined;
    }

    /// <summary>The parts of a time that are in none of the others.</summary>
    private static IEnumerable<(DateTimeOffset From, DateTimeOffset To)> Without((DateTimeOffset From, DateTimeOffset To) time, List<(DateTimeOffset From, DateTimeOffset To)> others)
    {
        var from = time.From;
        foreach (var other in others.Where(other => other.To > time.From && other.From < time.To))
        {
            yield return (from, other.From);
            from = other.To;
        }

        yield return (from, time.To);
    }
}
