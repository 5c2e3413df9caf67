namespace JobLocks.Chaos;

/// <summary>One attempt at a run, from its first event to its last.</summary>
/// <param name="Offer">The run.</param>
/// <param name="Process">Where.</param>
/// <param name="Entered">When it had its locks.</param>
/// <param name="Left">When it was over for all others: its end, or the fault that took its locks.</param>
/// <param name="IsWhole">Whether it came to its own end.</param>
/// <param name="IsHit">Whether a fault met its process while it ran, or so soon after that its scheduler may not have learnt of its end.</param>
/// <param name="Place">Its place in the line; 0 for none.</param>
internal sealed record Attempt(Offer Offer, string Process, long Entered, long Left, bool IsWhole, bool IsHit, long Place)
{
    /// <summary>In seconds: so long, a run whose session was ended may take to be told and to stop.</summary>
    public const double ToBeTold = 2;

    /// <summary>In seconds: so long, a scheduler may take to write down the end of a run.</summary>
    public const double ToBeWritten = 5;

    /// <summary>Its own number, by which a write of job data names it.</summary>
    public string Id { get; init; } = "";

    /// <summary>Whether one of the faults that hit it killed its process.</summary>
    public bool IsKilled { get; init; }

    /// <summary>
    /// Whether PostgreSQL said so when the run entered. A session may be ended between the grant and the first line of the run, which learns of it a
    /// moment later.
    /// </summary>
    public bool HadLock { get; init; } = true;

    public IEnumerable<string> Names => Offer.Second.Length == 0 ? [Offer.Name] : [Offer.Name, Offer.Second];

    public static IReadOnlyList<Attempt> AllOf(IReadOnlyList<Event> events, IReadOnlyDictionary<int, Offer> offers)
    {
        var faults = Fault.AllOf(events).ToLookup(static fault => fault.Strike.Process, StringComparer.Ordinal);
        return
        [
            .. events.Where(static one => one.Attempt.Length > 0).GroupBy(static one => one.Attempt, StringComparer.Ordinal).Select(of =>
            {
                var entered = of.First(static one => one.Act == Act.Enter);
                var end = of.FirstOrDefault(static one => one.Act is Act.Leave or Act.Lost or Act.Fail);
                var after = faults[entered.Process].Where(fault => fault.Until > entered.Stamp || WasTakenBy(fault, entered)).Select(static fault => fault.Strike).ToList();
                var hits = after.FindAll(fault => end is null || fault.At <= end.At + ToBeWritten);
                var taken = after.Find(fault => end is null || (fault.Stamp < end.Stamp && (fault.Act == Act.Kill || end.At <= fault.At + ToBeTold)));
                var left = taken is null ? end?.Stamp ?? long.MaxValue : Math.Max(taken.Stamp, entered.Stamp);
                return new Attempt(offers[entered.Run], entered.Process, entered.Stamp, left, end?.Act is Act.Leave or Act.Fail, hits.Count > 0, entered.Place)
                {
                    Id = of.Key,
                    HadLock = entered.HadLock,
                    IsKilled = hits.Exists(static hit => hit.Act == Act.Kill),
                };
            }),
        ];
    }

    /// <summary>Whether the fault had taken the lock when the run entered: it was granted before that.</summary>
    private static bool WasTakenBy(Fault fault, Event entered) => !entered.HadLock && fault.Strike.Stamp < entered.Stamp && entered.At <= fault.Strike.At + ToBeTold;
}
