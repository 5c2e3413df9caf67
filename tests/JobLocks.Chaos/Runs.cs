namespace JobLocks.Chaos;

/// <summary>What the history tells of each run.</summary>
internal sealed class Runs
{
    private readonly IReadOnlyDictionary<int, Offer> _offers;
    private readonly ILookup<int, Attempt> _attempts;
    private readonly ILookup<int, long> _deleted;
    private readonly ILookup<int, long> _made;
    private readonly ILookup<int, long> _unscheduled;
    private readonly ILookup<int, long> _offered;
    private readonly ILookup<int, long> _again;
    private readonly IReadOnlyList<StoreLoss> _losses;
    private readonly HashSet<int> _recovered;

    private Runs(Record record)
    {
        _offers = record.Offers;
        Attempts = Attempt.AllOf(record.Events, record.Offers);
        _attempts = Attempts.ToLookup(static attempt => attempt.Offer.Number);
        _deleted = StampsOf(record, Act.Delete);
        _made = StampsOf(record, Act.Make);
        _unscheduled = StampsOf(record, Act.Unschedule);
        _offered = StampsOf(record, Act.Offer);
        _again = StampsOf(record, Act.Again);
        _losses = StoreLoss.AllOf(record.Events);
        _recovered = [.. StampsOf(record, Act.Recover).Select(static of => of.Key)];
    }

    public IEnumerable<Offer> Offers => _offers.Values;

    public IReadOnlyList<Attempt> Attempts { get; }

    public static Runs Of(Record record) => new(record);

    public Offer ParentOf(Offer continuation) => _offers[continuation.Parent];

    public IEnumerable<Attempt> AttemptsOf(Offer offer) => _attempts[offer.Number];

    public bool Ran(Offer offer) => _attempts.Contains(offer.Number);

    public bool IsWhole(Offer offer) => AttemptsOf(offer).Any(static attempt => attempt.IsWhole);

    /// <summary>When the run was deleted by hand or ended its own schedule.</summary>
    public long DeletedAt(Offer offer)
    {
        // A recovered occurrence has a trigger of its own, and is no concern of the schedule.
        var unscheduled = IsRecovered(offer) || AttemptsOf(offer).Any(static attempt => attempt.IsKilled) ? [] : _unscheduled[offer.Number];
        return _deleted[offer.Number].Concat(unscheduled).DefaultIfEmpty(long.MaxValue).Min();
    }

    public bool IsUnscheduled(Offer offer) => _unscheduled.Contains(offer.Number);

    public bool IsRecovered(Offer offer) => _recovered.Contains(offer.Number);

    public bool IsMade(Offer offer) => _made.Contains(offer.Number);

    /// <summary>Quartz recovers a moved trigger with what it fires now, so a maker that was hit counts as well.</summary>
    public bool IsMadeAgain(Offer offer) =>
        offer.Maker > 0 && (_made[offer.Number].Count() > 1 || AttemptsOf(_offers[offer.Maker]).Any(static attempt => attempt.IsHit));

    /// <summary>
    /// Quartz deletes the trigger of a one-shot run whose node was killed, and recovers the run under another one: its continuations
    /// learn nothing of its end.
    /// </summary>
    public bool IsCutFromContinuations(Offer offer) =>
        !offer.IsForHangfire && (IsRecovered(offer) || AttemptsOf(offer).Any(static attempt => attempt.IsKilled));

    /// <summary>Whether the run, once released, must come to its own end.</summary>
    public bool MustEnd(Offer offer) =>
        !_deleted.Contains(offer.Number)
        && !IsTakenAway(offer)
        && offer.Kind != Kind.Skips
        && offer.IsRetried
        // A recovery of Quartz has no retries.
        && !(IsRecovered(offer) && Ran(offer))
        // Its trigger was moved away, and with it what Quartz would have recovered.
        && !(offer.Parting != Parting.None && IsUnderFault(offer))
        // Each occurrence counts as one attempt, and the next one takes the place of a retry.
        && !(offer.Series is not null && IsUnderFault(offer));

    /// <summary>Whether its store lost it, or is served no more. A run that others wait for goes with the one that makes or releases it.</summary>
    public bool IsTakenAway(Offer offer)
    {
        if (offer.IsOfGuest) return true;
        if (offer.Parent > 0 && IsTakenAway(ParentOf(offer))) return true;
        if (offer.Maker > 0 && IsTakenAway(_offers[offer.Maker])) return true;

        var offered = OfferedAt(offer);
        var ended = AttemptsOf(offer).Where(static attempt => attempt.IsWhole).Select(static attempt => attempt.Left).DefaultIfEmpty(long.MaxValue).Min();
        return _losses.Any(loss => loss.IsOfHangfire == offer.IsForHangfire && loss.MayHaveTaken(offered, ended));
    }

    /// <summary>Whether it may come again after its end: from a dump, or since it was scheduled anew while it ran.</summary>
    public bool MayComeAgain(Offer offer) =>
        _losses.Any(loss => loss.IsOfHangfire == offer.IsForHangfire && (loss.MayBringBack(OfferedAt(offer)) || AttemptsOf(offer).Any(loss.Met)))
        || (!offer.IsForHangfire && _again[offer.Number].Any(again => AttemptsOf(offer).Any(attempt => attempt.Entered < again)));

    /// <summary>Whether the attempt's store was cleared or replaced under it.</summary>
    public bool IsMetByLoss(Attempt attempt) => _losses.Any(loss => loss.Met(attempt));

    /// <summary>What the run can have come to.</summary>
    public End EndOf(Offer offer)
    {
        if (IsCutFromContinuations(offer) || (!IsWhole(offer) && IsTakenAway(offer)) || MayComeAgain(offer)) return End.Unknown;

        var skipped = offer.Kind != Kind.Skips ? End.None : offer.IsForHangfire ? End.Deletion : End.Veto;
        var conflicted = offer is { Kind: Kind.Fails, IsForHangfire: false } ? End.Failure : End.None;
        if (IsWhole(offer))
        {
            var own = !offer.IsMeantToFail ? End.Success : offer.IsForHangfire ? End.Deletion : End.Failure;
            return AttemptsOf(offer).Any(static attempt => attempt.IsHit) ? own | skipped | conflicted : own;
        }

        var end = skipped | conflicted;
        if (_deleted.Contains(offer.Number)) end |= End.Deletion;
        if (!offer.IsRetried) end |= End.Failure;
        if (offer.Parent == 0 || Ran(offer)) return end == End.None ? End.Unknown : end;

        var discarded = offer.IsForHangfire ? End.Deletion : End.Discarded;
        var parent = EndOf(ParentOf(offer));
        if ((parent & offer.After) == End.None) return discarded;

        if ((parent & ~offer.After) != End.None) end |= discarded;
        return end == End.None ? End.Unknown : end;
    }

    private long OfferedAt(Offer offer) => _offered[offer.Maker > 0 ? offer.Maker : offer.Number].DefaultIfEmpty(0).Min();

    private bool IsUnderFault(Offer offer) => IsRecovered(offer) || AttemptsOf(offer).Any(static attempt => attempt.IsHit);

    private static ILookup<int, long> StampsOf(Record record, Act act) =>
        record.Events.Where(one => one.Act == act).ToLookup(static one => one.Run, static one => one.Stamp);
}
