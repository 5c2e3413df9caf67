namespace JobLocks.Chaos;

/// <summary>One attempt at a run, from its first event to its last.</summary>
/// <param name="Offer">The run.</param>
/// <param name="Process">Where.</param>
/// <param name="Entered">When it had its locks.</param>
/// <param name="Left">When it was over for all others: its end, or the fault that took its locks.</param>
/// <param name="IsWhole">Whether it came to its own end.</param>
/// <param name="IsHit">Whether a fault met its process after it had begun.</param>
/// <param name="Place">Its place in the line; 0 for none.</param>
internal sealed record Attempt(Offer Offer, string Process, long Entered, long Left, bool IsWhole, bool IsHit, long Place)
{
    public IEnumerable<string> Names => Offer.Second.Length == 0 ? [Offer.Name] : [Offer.Name, Offer.Second];

    public static IReadOnlyList<Attempt> AllOf(IReadOnlyList<Event> events, IReadOnlyDictionary<int, Offer> offers)
    {
        var faults = events.Where(static one => one.Act == Act.Strike)
            .Select(strike => (strike.Process, From: strike.Stamp, Until: events.FirstOrDefault(one => one.Act == Act.Struck && one.Stamp > strike.Stamp)?.Stamp ?? long.MaxValue))
            .ToLookup(static fault => fault.Process, StringComparer.Ordinal);
        return [.. events.Where(static one => one.Attempt.Length > 0).GroupBy(static one => one.Attempt, StringComparer.Ordinal).Select(of =>
        {
            var entered = of.First(static one => one.Act == Act.Enter);
            var end = of.FirstOrDefault(static one => one.Act is Act.Leave or Act.Lost);
            var hit = faults[entered.Process].Where(fault => fault.Until > entered.Stamp).Select(static fault => (long?)fault.From).FirstOrDefault();
            // Whoever is hit by a fault has its locks no longer, whether it knows or not.
            var left = Math.Min(end?.Stamp ?? long.MaxValue, Math.Max(hit ?? long.MaxValue, entered.Stamp));
            return new Attempt(offers[entered.Run], entered.Process, entered.Stamp, left, end?.Act == Act.Leave, hit is not null, entered.Place);
        })];
    }
}
