using System.Globalization;
using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Results;
using JobLocks.Benchmarks.Waiting;

namespace JobLocks.Benchmarks.Cases;

/// <summary>Two processes work on many short runs of a few names: what do the locks cost, in time and in processor time?</summary>
internal sealed class WaitingNamesCase : ICase
{
    private const int Names = 5;
    private const int Runs = 200;
    private const int Milliseconds = 20;
    private const double Ideal = Runs * Milliseconds / Names / 1000d;

    private static readonly TimeSpan AtMost = TimeSpan.FromSeconds(60);

    private static readonly IReadOnlyList<Comparison> Comparisons =
    [
        new("Hangfire", WaitingWay.HangfireLine, WaitingWay.HangfireBare, MostSecondsRatio: 1.25, MostProcessorRatio: 1.5),
        new("Quartz", WaitingWay.QuartzLine, WaitingWay.QuartzBare, MostSecondsRatio: 1.5, MostProcessorRatio: 2),
    ];

    public string Name => "waiting-names";

    public bool TakesLong => true;

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        Bench.Say(Name);
        var turn = new WaitingTurn(bench);
        var ways = Comparisons.SelectMany(static one => new[] { one.Ours, one.Bare }).ToList();
        var turns = ways.Select(way => (Func<Task<Round>>)(async () => new(new(await turn.RunAsync(way, Runs, Names, Milliseconds, AtMost, stop)), turn.Used))).ToList();
        var rounds = await Rounds.InTurnAsync(bench.Effort.WaitingRounds, turns, stop);
        var byWay = ways.Zip(rounds).ToDictionary(static of => of.First, static of => of.Second);
        if (rounds.Any(static ofWay => ofWay.Any(static round => round.Timeline.Runs < Runs))) throw new WrongAnswerException();
        if (Comparisons.Any(one => byWay[one.Ours].Any(static round => round.Timeline.Overlaps > 0))) throw new WrongAnswerException();

        return [.. Comparisons.SelectMany(one => Compare(one, byWay[one.Ours], byWay[one.Bare]))];
    }

    private IEnumerable<Row> Compare(Comparison one, IReadOnlyList<Round> ours, IReadOnlyList<Round> bare)
    {
        var metric = $"{one.Scheduler}, {Runs} runs of {Milliseconds} ms, {Names} names";
        yield return New(metric, "s", "no lock", Seconds(ours), Seconds(bare), Goal.RatioAtMost(one.MostSecondsRatio), Busy(ours));
        yield return New(metric, "s", "ideal", Seconds(ours), Spread.Of([Ideal]));
        yield return New($"{one.Scheduler}, free while runs wait", "%", "-", Spread.Of(ours.Select(static round => round.Timeline.FreePercent)), theirs: null);
        if (Processor(ours) is { } processor && Processor(bare) is { } ofBare)
            yield return New($"{one.Scheduler}, processor time for a run", "ms", "no lock", processor, ofBare, Goal.RatioAtMost(one.MostProcessorRatio));
    }

    private Row New(string metric, string unit, string peer, Spread ours, Spread? theirs, Goal? goal = null, string? note = null) => new()
    {
        Case = Name,
        Peer = peer,
        Metric = metric,
        Unit = unit,
        Ours = ours,
        Theirs = theirs,
        Goal = goal,
        Note = note,
    };

    private static Spread Seconds(IReadOnlyList<Round> rounds) => Spread.Of(rounds.Select(static round => round.Timeline.Seconds));

    private static Spread? Processor(IReadOnlyList<Round> rounds) =>
        rounds.All(static round => round.Used is not null) ? Spread.Of(rounds.Select(static round => round.Used!.Seconds * 1000 / Runs)) : null;

    private static string? Busy(IReadOnlyList<Round> rounds) =>
        rounds.Average(static round => round.Used?.Share) is { } share ? string.Create(CultureInfo.InvariantCulture, $"all cores were busy for {share:0%} of the time") : null;

    private sealed record Comparison(string Scheduler, WaitingWay Ours, WaitingWay Bare, double MostSecondsRatio, double MostProcessorRatio);

    private sealed record Round(Timeline Timeline, ProcessorUse? Used);
}
