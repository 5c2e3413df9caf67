namespace JobLocks.Inspection;

/// <summary>Builds the timeline of a lock name from what was read about the name.</summary>
/// <param name="At">When it was read.</param>
/// <param name="Ended">The newest runs that released the lock since <see cref="BeginOf"/>, the newest first: at most <see cref="MostRuns"/>.</param>
/// <param name="EndedTotal">How many runs released the lock since <see cref="BeginOf"/>.</param>
internal sealed record TimelineReading(DateTimeOffset At, IReadOnlyList<TimelineRun> Ended, long EndedTotal)
{
    /// <summary>The most runs on a timeline.</summary>
    public const int MostRuns = 50;

    /// <summary>The most waiting runs on a timeline.</summary>
    public const int MostWaiting = 15;

    // The other runs are those that have released the lock.
    private const int MostHolders = 20;

    private const int Minutes = 5;

    private static readonly TimeSpan ShortestTime = TimeSpan.FromSeconds(1);

    /// <summary>The time that a process may need to record a release.</summary>
    public TimeSpan Delay { get; init; }

    /// <summary>Until when runs may be missing between those of <see cref="Ended"/>; null where none are.</summary>
    public DateTimeOffset? MissingUntil { get; init; }

    /// <summary>
    /// The begin of the first minute of the timeline that is read at some time. A whole minute, since the total of the releases is counted by minute.
    /// </summary>
    public static DateTimeOffset BeginOf(DateTimeOffset at) => new(at.UtcTicks - (at.UtcTicks % TimeSpan.TicksPerMinute) - (Minutes * TimeSpan.TicksPerMinute), TimeSpan.Zero);

    /// <summary>Builds the timeline.</summary>
    /// <param name="held">The holders.</param>
    /// <param name="waiting">The first waiting runs.</param>
    public LockTimeline Build(IReadOnlyList<HeldLock> held, LockPage<QueuedRun> waiting)
    {
        var holders = held.Select(Holder).OrderBy(static run => run.HeldSince ?? DateTimeOffset.MinValue).Take(MostHolders).ToList();
        var waiters = waiting.Items.Take(MostWaiting).Select(Waiter).ToList();
        var ended = Ended.Take(MostRuns - holders.Count - waiters.Count).Reverse().ToList();
        List<TimelineRun> runs = [.. ended, .. holders, .. waiters];
        var isCut = Ended.Count > ended.Count || Ended.Count == MostRuns;
        var from = From(runs, isCut && ended.Count > 0 ? ended[0].HeldSince : null);
        return new(
            from,
            At,
            At - Delay > from ? At - Delay : from,
            runs,
            Math.Max(0, EndedTotal - ended.Count) + held.Count - holders.Count + waiting.Total - waiters.Count)
        {
            // With the most runs, the timeline begins with the oldest of them. Earlier runs do not matter then, but runs between them do.
            IsComplete = Ended.Count < MostRuns ? EndedTotal <= Ended.Count : !(MissingUntil > from) && from >= ended[0].HeldSince,
        };
    }

    /// <summary>Before the oldest of the newest runs, other runs may have held the lock, so the timeline begins with that run.</summary>
    private DateTimeOffset From(List<TimelineRun> runs, DateTimeOffset? cut)
    {
        var begin = cut ?? runs.Select(run => run.WaitingSince ?? run.HeldSince ?? BeginOf(At)).DefaultIfEmpty(BeginOf(At)).Min();
        begin = begin > BeginOf(At) ? begin : BeginOf(At);
        var latest = cut is null ? At - ShortestTime : At.AddTicks(-1);
        return begin < latest ? begin : latest;
    }

    /// <summary>A process of JobLocks that has not recorded its run yet was granted the lock a moment ago. When another program was granted it is unknown.</summary>
    private TimelineRun Holder(HeldLock held) => new(
        held.Holder.IsForeign ? held.Holder.ToString() : held.Holder.Run,
        held.Holder.WaitingSince,
        held.Holder.Since ?? (held.Holder.IsForeign ? null : At),
        ReleasedAt: null)
    {
        IsHolding = true,
    };

    private static TimelineRun Waiter(QueuedRun run) => new($"{run.Scheduler} job {run.Job ?? run.Run}", run.Since, HeldSince: null, ReleasedAt: null);
}
