using System.Globalization;

namespace JobLocks.Chaos;

/// <summary>What went wrong in a history.</summary>
internal static class Checker
{
    /// <summary>With which word each line begins.</summary>
    public static readonly IReadOnlyList<string> Kinds = ["overlap", "lost", "double", "undead", "disorder", "untrue"];

    private const int EnoughToMeet = 20;

    /// <param name="events">All that happened, in order.</param>
    /// <param name="offers">All that was wanted.</param>
    /// <param name="looks">What was shown meanwhile to somebody who looked at the locks.</param>
    /// <param name="checksOrder">Whether the order of the line counts: without faults only.</param>
    public static IReadOnlyList<string> Check(IReadOnlyList<Event> events, IReadOnlyDictionary<int, Offer> offers, IReadOnlyList<Look> looks, bool checksOrder)
    {
        var attempts = Attempt.AllOf(events, offers);
        var deleted = events.Where(static one => one.Act == Act.Delete).Select(static one => one.Run).ToHashSet();
        return
        [
            .. Overlaps(attempts),
            .. offers.Keys.Except(attempts.Where(static attempt => attempt.IsWhole).Select(static attempt => attempt.Offer.Number)).Except(deleted).Select(static run => Say($"lost: run {run}")),
            .. Doubles(attempts, events.Where(static one => one.Act == Act.Recover).Select(static one => one.Run).ToHashSet()),
            .. events.Where(static one => one.Act == Act.Delete).SelectMany(one => attempts.Where(attempt => attempt.Offer.Number == one.Run && attempt.Entered > one.Stamp)).Select(static attempt => Say($"undead: run {attempt.Offer.Number}")),
            .. Truth.Check(looks, attempts),
            .. checksOrder ? Disorder(attempts) : [],
            .. checksOrder ? NeverInLine(attempts) : [],
        ];
    }

    private static IEnumerable<string> Overlaps(IReadOnlyList<Attempt> attempts)
    {
        foreach (var name in attempts.SelectMany(static attempt => attempt.Names.Select(name => (name, attempt))).GroupBy(static of => of.name, static of => of.attempt, StringComparer.Ordinal))
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

    private static bool MayMeet(Attempt one, Attempt other) => one.Offer.Kind == other.Offer.Kind && one.Offer.Kind is Kind.Shared or Kind.OfTwo;

    /// <summary>
    /// A run that has ended may be run again only where a fault met it: its scheduler did not learn of the end. Quartz recovers one, too, whose
    /// node was killed right after it had been parked, and then it is there twice; it says so.
    /// </summary>
    private static IEnumerable<string> Doubles(IReadOnlyList<Attempt> attempts, HashSet<int> recovered) => attempts
        .GroupBy(static attempt => attempt.Offer.Number)
        .Where(static of => of.Count(static attempt => attempt.IsWhole) > 1 && !of.Any(static attempt => attempt.IsHit))
        .Where(of => !recovered.Contains(of.Key))
        .Select(static of => Say($"double: run {of.Key}, {of.First().Offer.Kind} of {of.First().Offer.Name}: {string.Join(", ", of.Select(static attempt => Say($"{attempt.Entered} to {attempt.Left} in {attempt.Process}, place {attempt.Place}")))}"));

    private static IEnumerable<string> Disorder(IReadOnlyList<Attempt> attempts)
    {
        foreach (var name in attempts.Where(static attempt => attempt.Place > 0 && attempt.Offer.Kind == Kind.Alone).GroupBy(static attempt => attempt.Offer.Name, StringComparer.Ordinal))
        {
            var inOrder = name.OrderBy(static attempt => attempt.Entered).ToList();
            foreach (var (first, second) in inOrder.Zip(inOrder.Skip(1)))
            {
                if (first.Place > second.Place) yield return Say($"disorder under {name.Key}: run {first.Offer.Number} with place {first.Place} before run {second.Offer.Number} with place {second.Place}");
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
