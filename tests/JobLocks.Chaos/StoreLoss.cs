namespace JobLocks.Chaos;

/// <summary>What an operator did to a whole store: cleared it, or put an older dump of it in its place.</summary>
/// <param name="IsOfHangfire">Or of Quartz.</param>
/// <param name="Since">When it began.</param>
/// <param name="Until">When it was done.</param>
/// <param name="Dumped">When the dump was begun that was put in its place; null where the store was cleared.</param>
/// <param name="DumpedUntil">When that dump was done.</param>
internal sealed record StoreLoss(bool IsOfHangfire, long Since, long Until, long? Dumped, long DumpedUntil)
{
    public const string Hangfire = "Hangfire";
    public const string Quartz = "Quartz";

    public static IReadOnlyList<StoreLoss> AllOf(IReadOnlyList<Event> events)
    {
        var losses = new List<StoreLoss>();
        foreach (var act in events.Where(static one => one.Act is Act.Clear or Act.Restore))
        {
            var dump = act.Act == Act.Restore ? events.LastOrDefault(one => one.Act == Act.Dump && one.Stamp < act.Stamp && IsSame(one, act)) : null;
            losses.Add(new(string.Equals(act.Process, Hangfire, StringComparison.Ordinal), act.Stamp, EndOf(events, act), dump?.Stamp, dump is null ? 0 : EndOf(events, dump)));
        }

        return losses;
    }

    /// <summary>
    /// Whether the store may have lost a run by it: one that was there, and had not ended before. A dump of a later time than the offer has the run;
    /// but where that was about to end, it is not known what stood there.
    /// </summary>
    /// <param name="offered">When the scheduler was given the run.</param>
    /// <param name="ended">When it first came to its own end.</param>
    public bool MayHaveTaken(long offered, long ended) => offered < Until && ended > Since && !(Dumped is { } dumped && offered < dumped);

    /// <summary>Whether the store may have the run once more: it was in the dump.</summary>
    public bool MayBringBack(long offered) => Dumped is not null && offered < DumpedUntil;

    /// <summary>Whether the attempt was there when it was done: its store did not learn of its end.</summary>
    public bool Met(Attempt attempt) => attempt.Offer.IsForHangfire == IsOfHangfire && attempt.Entered < Until && attempt.Left > Since;

    private static long EndOf(IReadOnlyList<Event> events, Event act) => events.FirstOrDefault(one => one.Act == Act.Stored && one.Stamp > act.Stamp && IsSame(one, act))?.Stamp ?? long.MaxValue;

    private static bool IsSame(Event one, Event other) => string.Equals(one.Process, other.Process, StringComparison.Ordinal);
}
