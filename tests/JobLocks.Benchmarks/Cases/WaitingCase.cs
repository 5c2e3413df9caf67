using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Results;
using JobLocks.Benchmarks.Waiting;

namespace JobLocks.Benchmarks.Cases;

/// <summary>How soon does the next run begin when one ends, where two processes work on runs of one name?</summary>
/// <param name="who">The schedulers.</param>
/// <param name="ours">How they wait with us.</param>
/// <param name="peers">How they do without.</param>
/// <param name="mostMedian">The goal for half of them, in milliseconds.</param>
internal sealed class WaitingCase(string who, WaitingWay ours, IReadOnlyList<(string Name, WaitingWay Way)> peers, double mostMedian) : ICase
{
    private const int Runs = 30;
    private const int Milliseconds = 100;
    private const double MostOfNearlyAll = 60;
    private const double MostSeconds = 3.6;

    public string Name => $"waiting-{who}";

    public bool TakesLong => true;

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        Bench.Say(Name);
        var turn = new WaitingTurn(bench);
        IReadOnlyList<WaitingWay> ways = [ours, .. peers.Select(static peer => peer.Way)];
        var turns = ways.Select(way => (Func<Task<Timeline>>)(async () => new(await turn.RunAsync(way, Runs, names: 1, Milliseconds, bench.Effort.WaitingAtMost, stop)))).ToList();
        var rounds = await Rounds.InTurnAsync(bench.Effort.WaitingRounds, turns, stop);
        if (rounds[0].Any(static round => round.Overlaps > 0)) throw new WrongAnswerException();

        return [.. peers.Count == 0 ? Compare("-", rounds[0], theirs: null, isFirst: true) : peers.SelectMany((peer, i) => Compare(peer.Name, rounds[0], rounds[i + 1], i == 0))];
    }

    private IEnumerable<Row> Compare(string peer, IReadOnlyList<Timeline> mine, IReadOnlyList<Timeline>? theirs, bool isFirst)
    {
        yield return New("end to next start, p50", "ms", peer, Quantile(mine, 0.5), Quantile(theirs, 0.5), isFirst ? Goal.OursAtMost(mostMedian) : null);
        yield return New("end to next start, p99", "ms", peer, Quantile(mine, 0.99), Quantile(theirs, 0.99), isFirst ? Goal.OursAtMost(MostOfNearlyAll) : null);
        yield return New($"{Runs} runs of {Milliseconds} ms", "s", peer, Seconds(mine), Seconds(theirs), isFirst ? Goal.OursAtMost(MostSeconds) : null, Missing(theirs));
    }

    private Row New(string metric, string unit, string peer, Spread? ours, Spread? theirs, Goal? goal, string? note = null) => new()
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

    private static Spread? Quantile(IReadOnlyList<Timeline>? rounds, double quantile) => rounds is null ? null : Spread.Of(rounds.Select(round => round.Gap(quantile)));

    private static Spread? Seconds(IReadOnlyList<Timeline>? rounds)
    {
        var whole = rounds?.Where(static round => round.Runs == Runs).ToList();
        return whole is { Count: > 0 } ? Spread.Of(whole.Select(static round => round.Seconds)) : null;
    }

    private static string? Missing(IReadOnlyList<Timeline>? theirs) =>
        theirs?.Where(static round => round.Runs < Runs).ToList() is { Count: > 0 } cut ? $"the peer had run {cut.Min(static round => round.Runs)} of {Runs} when its time was over" : null;
}
