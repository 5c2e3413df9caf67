using System.Linq.Expressions;
using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Results;
using JobLocks.Benchmarks.Schedulers;

namespace JobLocks.Benchmarks.Cases;

/// <summary>How many jobs of a full queue does a Hangfire server run in a second, with a lock for each and without?</summary>
internal sealed class HangfireCase : ICase
{
    private const double LeastShareOfBare = 0.93;
    private const int WarmUpShare = 5;

    public string Name => "hangfire";

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        Bench.Say(Name);
        var turn = new HangfireTurn(bench);
        Func<int, Expression<Action<HangfireJobs>>>[] ways =
        [
            static n => jobs => jobs.Bare(n),
            static n => jobs => jobs.Locked(n),
            static n => jobs => jobs.NotConcurrent(n),
        ];
        foreach (var way in ways) await turn.RunAsync(way, bench.Effort.Jobs / WarmUpShare, stop);

        var turns = ways.Select(way => (Func<Task<double>>)(() => turn.RunAsync(way, bench.Effort.Jobs, stop))).ToList();
        var rates = await Rounds.InTurnAsync(bench.Effort.JobRounds, turns, stop);
        return
        [
            Compare("no lock", rates[1], rates[0], Goal.RatioAtLeast(LeastShareOfBare)),
            Compare("[DisableConcurrentExecution]", rates[1], rates[2], Goal.RatioAbove(1)),
        ];
    }

    private Row Compare(string peer, IReadOnlyList<double> ours, IReadOnlyList<double> theirs, Goal goal) => new()
    {
        Case = Name,
        Peer = peer,
        Callers = HangfireTurn.Workers,
        Metric = "jobs that do nothing",
        Unit = "jobs/s",
        Ours = Spread.Of(ours),
        Theirs = Spread.Of(theirs),
        Goal = goal,
    };
}
