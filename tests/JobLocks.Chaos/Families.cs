using System.Globalization;

namespace JobLocks.Chaos;

/// <summary>Where a continuation was not settled by what its parent came to, or a run that another one made did not come.</summary>
internal static class Families
{
    public static IEnumerable<string> Check(Record record, Runs runs) =>
    [
        .. runs.Offers.Where(static offer => offer.Parent > 0).SelectMany(offer => Settled(offer, runs)),
        .. runs.Offers.Where(static offer => offer.Maker > 0).SelectMany(offer => Made(offer, runs)),
        .. record.Rests.Where(rest => !MayBeLeft(rest, record, runs)).Select(rest => Left(rest, record)),
    ];

    private static IEnumerable<string> Settled(Offer child, Runs runs)
    {
        var parent = runs.ParentOf(child);
        var end = runs.EndOf(parent);
        var isDue = (end & ~child.After) == End.None;
        if ((end & child.After) == End.None && runs.Ran(child))
            yield return Say($"orphan: run {child.Number} ran after {child.After} of run {parent.Number}, which came to {end}");
        else if ((isDue || runs.Ran(child)) && runs.MustEnd(child) && !runs.IsWhole(child))
            yield return Say($"orphan: run {child.Number} did not run after {child.After} of run {parent.Number}, which came to {end}");

        if (!runs.IsCutFromContinuations(parent) && EndedAt(parent, runs) is { } ended && runs.AttemptsOf(child).Any(attempt => attempt.Entered < ended))
            yield return Say($"early: run {child.Number} entered before {ended}, when its parent {parent.Number} ended");
    }

    /// <summary>The first end counts: a parent whose process was killed right after it may have settled its continuations, and is run again.</summary>
    private static long? EndedAt(Offer parent, Runs runs) =>
        runs.AttemptsOf(parent).Where(static attempt => attempt.IsWhole).Select(static attempt => (long?)attempt.Left).Min();

    private static IEnumerable<string> Made(Offer made, Runs runs)
    {
        if (!runs.IsMade(made) && runs.Ran(made)) yield return Say($"orphan: run {made.Number} ran, and run {made.Maker} had not made it");
        if (runs.IsMade(made) && runs.MustEnd(made) && !runs.IsWhole(made)) yield return Say($"orphan: run {made.Number} did not run, and run {made.Maker} had made it");
    }

    private static bool MayBeLeft(Rest rest, Record record, Runs runs)
    {
        if (!record.Offers.TryGetValue(rest.Run, out var offer)) return false;
        if (Is(rest, Rest.Complete)) return offer.Parting == Parting.Throws && runs.IsUnscheduled(offer);

        return (Is(rest, Rest.Error) || Is(rest, Rest.Awaiting)) && IsCut(offer, runs);
    }

    /// <summary>What waits for a trigger that was deleted waits for an operator, and whatever continues it waits, too.</summary>
    private static bool IsCut(Offer offer, Runs runs) => offer.Parent > 0 && (runs.IsCutFromContinuations(runs.ParentOf(offer)) || IsCut(runs.ParentOf(offer), runs));

    private static string Left(Rest rest, Record record) => record.Offers.TryGetValue(rest.Run, out var offer) && offer.Parent > 0
        ? Say($"orphan: run {rest.Run}, which continues run {offer.Parent}, is left in the state {rest.State}{Why(rest)}")
        : Say($"left: run {rest.Run} in the state {rest.State}{Why(rest)}");

    private static string Why(Rest rest) => rest.Reason.Length == 0 ? "" : $" ({rest.Reason})";

    private static bool Is(Rest rest, string state) => string.Equals(rest.State, state, StringComparison.OrdinalIgnoreCase);

    private static string Say(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
