using System.Globalization;

namespace JobLocks.Chaos;

/// <summary>What went wrong in a history.</summary>
internal static class Checker
{
    /// <summary>What is counted, and how each of its lines begins.</summary>
    public static readonly IReadOnlyList<(string Label, string Begins)> Kinds =
    [
        ("overlap", "overlap "),
        ("unlocked", "unlocked: "),
        ("never started", "never started: "),
        ("double", "double: "),
        ("removed run started", "removed run started: "),
        ("out of order", "out of order "),
        ("wrong holder", "wrong holder: "),
        ("orphans", "orphan: "),
        ("early", "early: "),
        ("lost updates", "lost update: "),
        ("too many waiting", "too many waiting: "),
    ];

    private const int EnoughToMeet = 20;

    /// <param name="record">All that is known.</param>
    /// <param name="checksOrder">Whether the order of the line counts: without faults only.</param>
    public static IReadOnlyList<string> Check(Record record, bool checksOrder)
    {
        var runs = Runs.Of(record);
        return
        [
            .. Overlaps(runs.Attempts),
            .. Unlocked(runs.Attempts),
            .. NeverStarted(runs),
            .. Doubles(runs),
            .. StartedAfterRemoval(runs),
            .. Truth.Check(record.Looks, runs.Attempts),
            .. Families.Check(record, runs),
            .. Counters.Check(record, runs),
            .. Repeats.Check(record, runs),
            .. checksOrder ? OutOfOrder(runs.Attempts) : [],
            .. checksOrder ? NeverInLine(runs.Attempts) : [],
        ];
    }

    /// <summary>Each line, and how many of each kind.</summary>
    public static void Print(IReadOnlyList<string> wrong)
    {
        foreach (var line in wrong) Console.WriteLine(line);
        Console.WriteLine(string.Join(", ", Kinds.Select(kind => Say($"{kind.Label} {wrong.Count(line => line.StartsWith(kind.Begins, StringComparison.Ordinal))}"))));
    }

    private static IEnumerable<string> Overlaps(IReadOnlyList<Attempt> attempts)
    {
        // One that entered without its lock is told so, or is a fault of its own.
        foreach (var name in attempts.Where(static attempt => attempt.HadLock).SelectMany(static attempt => attempt.Names.Select(name => (name, attempt))).GroupBy(static of => of.name, static of => of.attempt, StringComparer.Ordinal))
        {
            var present = new List<Attempt>();
            foreach (var attempt in name.OrderBy(static attempt => attempt.Entered))
            {
                present.RemoveAll(other => other.Left < attempt.Entered);
                if (present.Exists(other => !MayMeet(other, attempt)) || present.Count(static other => other.Offer.Kind == Kind.OfTwo) > 1)
                    yield return Say($"overlap under {name.Key}: run {attempt.Offer.Number} entered at {attempt.Entered}, where {string.Join(", ", present.Select(static other => Say($"run {other.Offer.Number} had been from {other.Entered}")))}");
                present.Add(attempt);
            }
        }
    }

    /// <summary>A run that a fault met may have lost its lock before its first line, and is told of it.</summary>
    private static IEnumerable<string> Unlocked(IReadOnlyList<Attempt> attempts) => attempts
        .Where(static attempt => attempt is { HadLock: false, IsHit: false })
        .Select(static attempt => Say($"unlocked: run {attempt.Offer.Number} entered at {attempt.Entered} in {attempt.Process} without its lock"));

    private static bool MayMeet(Attempt one, Attempt other) => one.Offer.Kind == other.Offer.Kind && one.Offer.Kind is Kind.Shared or Kind.OfTwo;

    /// <summary>Continuations and runs that others make come only where their condition holds; <see cref="Families"/> knows of them.</summary>
    private static IEnumerable<string> NeverStarted(Runs runs) => runs.Offers
        .Where(offer => offer is { Parent: 0, Maker: 0 } && runs.MustEnd(offer) && !runs.IsWhole(offer))
        .Select(static offer => Say($"never started: run {offer.Number}"));

    /// <summary>
    /// A run that has ended may be run again only where a fault met it: its scheduler did not learn of the end. Quartz recovers one, too, whose
    /// node was killed right after it had been parked, and then it is there twice; it says so. A maker that is run again makes its run again.
    /// </summary>
    private static IEnumerable<string> Doubles(Runs runs) => runs.Attempts
        .GroupBy(static attempt => attempt.Offer)
        .Where(static of => of.Key.Series is null && of.Count(static attempt => attempt.IsWhole) > 1 && !of.Any(static attempt => attempt.IsHit))
        .Where(of => !runs.IsRecovered(of.Key) && !runs.IsMadeAgain(of.Key) && !runs.MayComeAgain(of.Key))
        .Select(static of => Say($"double: run {of.Key.Number}, {of.Key.Kind} of {of.Key.Name}: {string.Join(", ", of.Select(static attempt => Say($"{attempt.Entered} to {attempt.Left} in {attempt.Process}, place {attempt.Place}")))}"));

    private static IEnumerable<string> StartedAfterRemoval(Runs runs) => runs.Attempts
        .Where(attempt => runs.DeletedAt(attempt.Offer) < attempt.Entered && !runs.MayComeAgain(attempt.Offer))
        .Select(static attempt => Say($"removed run started: run {attempt.Offer.Number}"));

    private static IEnumerable<string> OutOfOrder(IReadOnlyList<Attempt> attempts)
    {
        foreach (var name in attempts.Where(static attempt => attempt.Place > 0 && attempt.Offer.Kind == Kind.Alone).GroupBy(static attempt => attempt.Offer.Name, StringComparer.Ordinal))
        {
            var inOrder = name.OrderBy(static attempt => attempt.Entered).ToList();
            foreach (var (first, second) in inOrder.Zip(inOrder.Skip(1)))
            {
                if (first.Place > second.Place) yield return Say($"out of order under {name.Key}: run {first.Offer.Number} with place {first.Place} before run {second.Offer.Number} with place {second.Place}");
            }
        }
    }

    /// <summary>An order of which nothing is known cannot be wrong: of each scheduler, some must have waited.</summary>
    private static IEnumerable<string> NeverInLine(IReadOnlyList<Attempt> attempts) => attempts
        .GroupBy(static attempt => attempt.Offer.IsForHangfire)
        .Where(static of => of.Count() >= EnoughToMeet && of.All(static attempt => attempt.Place == 0))
        .Select(static of => Say($"unknown: no run of {(of.Key ? "Hangfire" : "Quartz")} had a place in the line"));

    private static string Say(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
