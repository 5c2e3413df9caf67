using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Peers;
using JobLocks.Benchmarks.Results;

namespace JobLocks.Benchmarks.Cases;

/// <summary>How long does one pair take, most of the time and at worst?</summary>
internal sealed class LatencyCase(PairRounds rounds) : ICase
{
    private const int CallersOfGoal = 200;
    private const double MostMilliseconds = 5;

    public string Name => "latency";

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        var measured = await rounds.MeasureAsync(bench, stop);
        var ours = measured.Where(static turns => turns.IsOurs).ToDictionary(static turns => turns.Callers);
        return measured
            .Where(static turns => !turns.IsOurs)
            .SelectMany(theirs => Compare(ours[theirs.Callers], theirs))
            .ToList();
    }

    private IEnumerable<Row> Compare(PairTurns ours, PairTurns theirs)
    {
        // Ours are the same numbers against each peer: the goal is asked of them once.
        var hasGoal = theirs is { Contender: TheirLocks.SharedName, Callers: CallersOfGoal };
        return
        [
            Compare(ours, theirs, "p50", static turn => turn.P50, goal: null),
            Compare(ours, theirs, "p99", static turn => turn.P99, hasGoal ? Goal.OursAtMost(MostMilliseconds) : null),
        ];
    }

    private Row Compare(PairTurns ours, PairTurns theirs, string metric, Func<LoadResult, double> number, Goal? goal) => new()
    {
        Case = Name,
        Peer = theirs.Contender,
        Callers = theirs.Callers,
        Metric = metric,
        Unit = "ms",
        Ours = ours.Of(number),
        Theirs = theirs.Of(number),
        Goal = goal,
        IsSpoiled = ours.Errors is not null,
    };
}
