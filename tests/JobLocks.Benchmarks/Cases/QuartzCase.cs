using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Results;
using JobLocks.Benchmarks.Schedulers;

namespace JobLocks.Benchmarks.Cases;

/// <summary>How many due triggers does a clustered Quartz node fire in a second, with a lock for each run and without?</summary>
internal sealed class QuartzCase : ICase
{
    private const double LeastShareOfBare = 0.95;
    private const int WarmUpShare = 5;

    private static readonly IReadOnlyList<QuartzWay> Ways = [QuartzWay.Bare, QuartzWay.JobLock, QuartzWay.ExecutionGroups];

    public string Name => "quartz";

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        Bench.Say(Name);
        var turn = new QuartzTurn(bench);
        foreach (var way in Ways) await turn.RunAsync(way, bench.Effort.Jobs / WarmUpShare, stop);

        var turns = Ways.Select(way => (Func<Task<double>>)(() => turn.RunAsync(way, bench.Effort.Jobs, stop))).ToList();
        var rates = await Rounds.InTurnAsync(bench.Effort.JobRounds, turns, stop);
        return
        [
            Compare("no lock", rates[1], rates[0], Goal.RatioAtLeast(LeastShareOfBare)),
            Compare("execution groups, cluster limit 1", rates[1], rates[2], goal: null),
        ];
    }

    private Row Compare(string peer, IReadOnlyList<double> ours, IReadOnlyList<double> theirs, Goal? goal) => new()
    {
        Case = Name,
        Peer = peer,
        Callers = QuartzTurn.Threads,
        Metric = "jobs that do nothing",
        Unit = "jobs/s",
        Ours = Spread.Of(ours),
        Theirs = Spread.Of(theirs),
        Goal = goal,
    };
}
