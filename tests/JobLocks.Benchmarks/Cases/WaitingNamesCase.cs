using System.Globalization;
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

    private static readonly IReadOnlyList<WaitingWay> Ways = [WaitingWay.HangfireLine, WaitingWay.QuartzLine, WaitingWay.HangfireBare];

    public string Name => "waiting-names";

    public bool TakesLong => true;

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        Bench.Say(Name);
        var turn = new WaitingTurn(bench);
        var busy = new Dictionary<WaitingWay, List<double>>();
        var turns = Ways.Select(way => (Func<Task<Timeline>>)(async () =>
        {
            var timeline = new Timeline(await turn.RunAsync(way, Runs, Names, Milliseconds, AtMost, stop));
            if (turn.Busy is { } share) (busy.TryGetValue(way, out var shares) ? shares : busy[way] = []).Add(share);
            return timeline;
        })).ToList();
        var rounds = await Rounds.InTurnAsync(bench.Effort.WaitingRounds, turns, stop);
        if (rounds.Zip(Ways).Any(static of => of.First.Any(round => round.Runs < Runs || (round.Overlaps > 0 && of.Second != WaitingWay.HangfireBare)))) throw new WrongAnswerException();

        return [.. rounds.Zip(Ways).Select(of => new Row
        {
            Case = Name,
            Peer = "ideal",
            Metric = $"{of.Second}: {Runs} runs of {Milliseconds} ms, {Names} names",
            Unit = "s",
            Ours = Spread.Of(of.First.Select(static round => round.Seconds)),
            Theirs = Spread.Of([Ideal]),
            Goal = of.Second == WaitingWay.HangfireBare ? null : Goal.OursAtMost(MostSeconds),
            Note = busy.TryGetValue(of.Second, out var shares) ? string.Create(CultureInfo.InvariantCulture, $"all cores were busy for {shares.Average():0%} of the time") : null,
        })];
    }
}
