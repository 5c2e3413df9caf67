using System.Globalization;

namespace JobLocks.Chaos;

/// <summary>Where somebody who looked at the locks was shown what was not so.</summary>
internal static class Truth
{
    public static IEnumerable<string> Check(IReadOnlyList<Look> looks, IReadOnlyList<Attempt> attempts)
    {
        var byName = attempts.SelectMany(static attempt => attempt.Names.Select(name => (Line: LockKey.Of(name).Value, attempt))).ToLookup(static of => of.Line, static of => of.attempt);
        return looks.SelectMany(look => look.Shown.SelectMany(shown => Check(look, shown, [.. byName[shown.Line]])));
    }

    private static IEnumerable<string> Check(Look look, (long Line, long Key, int Backend, int Run) shown, IReadOnlyList<Attempt> attempts)
    {
        var isHeld = look.Before.Contains((shown.Key, shown.Backend)) || look.After.Contains((shown.Key, shown.Backend));
        // Taken and given back within the look, by a run that entered, or by one that got only one of its two locks and entered nowhere.
        if (!isHeld && !attempts.Any(attempt => attempt.Entered > look.Since && attempt.Entered <= look.Until) && !(shown.Run == 0 && attempts.Any(static attempt => attempt.Offer.Kind == Kind.Both)))
            yield return Say($"untrue: {shown.Key} was shown as held by backend {shown.Backend} between {look.Since} and {look.Until}, and was not");

        if (shown.Run > 0 && attempts.Where(attempt => attempt.Offer.Number == shown.Run).ToList() is { Count: > 0 } own && own.All(attempt => HadEnded(attempt, attempts, look.Since)))
            yield return Say($"untrue: run {shown.Run} was shown to hold {shown.Key} after {look.Since}, and had ended before that");
    }

    /// <summary>A run that has left has its lock for a moment more. But where another one has come since, it had let go by then.</summary>
    private static bool HadEnded(Attempt attempt, IReadOnlyList<Attempt> attempts, long before) =>
        attempt.Offer.Kind is Kind.Alone or Kind.Both && attempts.Any(next => next.Entered > attempt.Left && next.Entered <= before);

    private static string Say(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
