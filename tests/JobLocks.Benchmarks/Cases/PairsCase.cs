using JobLocks.Benchmarks.Peers;
using JobLocks.Benchmarks.Results;

namespace JobLocks.Benchmarks.Cases;

/// <summary>How many locks can be taken and released in a second?</summary>
internal sealed class PairsCase(PairRounds rounds) : ICase
{
    // A pair is two questions.
    private const int RoundTripsOfPair = 2;

    public string Name => "pairs";

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        var measured = await rounds.MeasureAsync(bench, stop);
        var ours = measured.Where(static turns => turns.IsOurs).ToDictionary(static turns => turns.Callers);
        return measured.Where(static turns => !turns.IsOurs).Select(theirs => Compare(ours[theirs.Callers], theirs)).ToList();
    }

    private Row Compare(PairTurns ours, PairTurns theirs)
    {
        var isFloor = string.Equals(theirs.Contender, PairRounds.FloorName, StringComparison.Ordinal);
        return new()
        {
            Case = Name,
            Peer = isFloor ? $"{theirs.Contender}, twice" : theirs.Contender,
            Callers = theirs.Callers,
            Metric = "take and release",
            Unit = "pairs/s",
            Ours = ours.Of(static turn => turn.PerSecond),
            Theirs = theirs.Of(turn => isFloor ? turn.PerSecond / RoundTripsOfPair : turn.PerSecond),
            Goal = GoalOf(theirs),
            IsSpoiled = ours.Errors is not null,
            Note = Notes.Join(ours.Errors, theirs.Errors),
        };
    }

    private static Goal? GoalOf(PairTurns theirs) => (theirs.Contender, theirs.Callers) switch
    {
        (TheirLocks.SharedName, 1) => Goal.RatioAtLeast(3),
        (TheirLocks.SharedName, 10) => Goal.RatioAtLeast(8),
        (TheirLocks.SharedName, 50) => Goal.RatioAtLeast(25),
        (TheirLocks.SharedName, 200) => Goal.RatioAtLeast(100),
        _ => null,
    };
}
