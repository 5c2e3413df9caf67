using System.Globalization;

namespace JobLocks.Chaos;

/// <summary>Where the inspector showed what was not so.</summary>
internal static class Truth
{
    public static IEnumerable<string> Check(IReadOnlyList<Look> looks, IReadOnlyList<Attempt> attempts)
    {
        var byName = attempts.SelectMany(static attempt => attempt.Names.Select(name => (Line: LockKey.Of(name).Value, attempt))).ToLookup(static of => of.Line, static of => of.attempt);
        // A slot that was held for a moment only is shown by its own key: its name is not written down. One name has slots.
        var ofTwo = attempts.Where(static attempt => attempt.Offer.Kind == Kind.OfTwo).ToList();
        return looks.SelectMany(look => look.Shown.SelectMany(shown => Check(look, shown, byName.Contains(shown.Line) ? [.. byName[shown.Line]] : ofTwo)));
    }

    private static IEnumerable<string> Check(Look look, (long Line, long Key, int Backend, int Run) shown, IReadOnlyList<Attempt> attempts)
    {
        var isHeld = look.Before.Contains((shown.Key, shown.Backend)) || look.After.Contains((shown.Key, shown.Backend));
        if (!isHeld && !CanHaveComeAndGone(look, shown.Run, attempts))
            yield return Say($"wrong holder: {shown.Key} was shown as held by backend {shown.Backend} between {look.Since} and {look.Until}, and was not");

        if (shown.Run > 0 && attempts.Where(attempt => attempt.Offer.Number == shown.Run).ToList() is { Count: > 0 } own && own.All(attempt => HadEnded(attempt, attempts, look.Since)))
            yield return Say($"wrong holder: run {shown.Run} was shown to hold {shown.Key} after {look.Since}, and had ended before that");
    }

    /// <summary>
    /// Whether the lock can have been taken and released within the look. By a run that entered meanwhile; or by a run that got its lock and did not
    /// enter: one of which a second lock was refused, and one of Quartz whose node had gone on without it, since the answer took more than
    /// <c>AnswerTimeout</c>. That one is put back and enters later, mostly on another node (seen: seed 13, a lock of server-3, and its run on
    /// server-4 half a second later). What is shown with its run was held for a quarter of a second, and so before the look.
    /// </summary>
    private static bool CanHaveComeAndGone(Look look, int run, IReadOnlyList<Attempt> attempts) =>
        attempts.Any(attempt => attempt.Entered > look.Since && attempt.Entered <= look.Until)
        || (run == 0 && attempts.Any(attempt => attempt.Offer.Kind == Kind.Both || (!attempt.Offer.IsForHangfire && attempt.Entered > look.Until)));

    /// <summary>
    /// A run that has left has its lock for a moment more. But where another one has come since with its lock, it had released it by then.
    /// </summary>
    private static bool HadEnded(Attempt attempt, IReadOnlyList<Attempt> attempts, long before) =>
        attempt.Offer.Kind is Kind.Alone or Kind.Both && attempts.Any(next => next.HadLock && next.Entered > attempt.Left && next.Entered <= before);

    private static string Say(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
