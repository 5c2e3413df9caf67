namespace JobLocks.Chaos;

/// <summary>A process was killed, or its lock session was ended.</summary>
/// <param name="Strike">Its announcement.</param>
/// <param name="Until">When it was done.</param>
internal sealed record Fault(Event Strike, long Until)
{
    public static IEnumerable<Fault> AllOf(IReadOnlyList<Event> events) => events
        .Where(static one => one.Act is Act.Kill or Act.Terminate)
        .Select(strike => new Fault(strike, events.FirstOrDefault(one => one.Act == Act.Struck && one.Stamp > strike.Stamp)?.Stamp ?? long.MaxValue));
}
