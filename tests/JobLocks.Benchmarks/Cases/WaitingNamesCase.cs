using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Results;
using JobLocks.Benchmarks.Waiting;

namespace JobLocks.Benchmarks.Cases;

/// <summary>How close to the ideal do two processes come that work on many short runs of a few names?</summary>
internal sealed class WaitingNamesCase : ICase
{
    private const int Names = 5;
    private const int Runs = 200;
    private const int Milliseconds = 20;
    private const double Ideal = Runs * Milliseconds / Names / 1000d;
    private const double MostSeconds = 1.6;

    private static readonly TimeSpan AtMost = TimeSpan.FromSeconds(60);

    public string Name => "waiting-names";

    public bool TakesLong => true;

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        Bench.Say(Name);
        var turn = new WaitingTurn(bench);
        var ways = new[] { WaitingWay.HangfireLine, WaitingWay.QuartzLine };
        var turns = ways.Select(way => (Func<Task<Timeline>>)(async () => new(await turn.RunAsync(way, Runs, Names, Milliseconds, AtMost, stop)))).ToList();
        var rounds = await Rounds.InTurnAsync(bench.Effort.WaitingRounds, turns, stop);
        foreach (var (of, way) in rounds.Zip(ways))
        {
            foreach (var round in of) Bench.Say($"{way}: {round.Runs} runs, {round.Overlaps} overlaps, {round.Seconds:0.00} s, longest gap {round.Gap(1):0} ms, p50 {round.Gap(0.5):0}");
        }

        if (rounds.Any(static of => of.Any(static round => round.Overlaps > 0 || round.Runs < Runs))) throw new WrongAnswerException();

        return [.. rounds.Zip(ways).Select(of => new Row
        {
            Case = Name,
            Peer = "ideal",
            Metric = $"{of.Second}: {Runs} runs of {Milliseconds} ms, {Names} names",
            Unit = "s",
            Ours = Spread.Of(of.First.Select(static round => round.Seconds)),
            Theirs = Spread.Of([Ideal]),
            Goal = Goal.OursAtMost(MostSeconds),
        })];
    }
}
