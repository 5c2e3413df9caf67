using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Results;
using JobLocks.Benchmarks.Waiting;

namespace JobLocks.Benchmarks.Cases;

/// <summary>A thousand jobs that do nothing, beside many runs of a few names: do they take longer where runs may wait in their workers?</summary>
internal sealed class WaitingBesideCase : ICase
{
    private const int Others = 1000;
    private const int Names = 5;
    private const int Runs = 200;
    private const int Milliseconds = 20;

    private static readonly TimeSpan AtMost = TimeSpan.FromSeconds(120);

    public string Name => "waiting-beside";

    public bool TakesLong => true;

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        Bench.Say(Name);
        var turn = new WaitingTurn(bench) { Others = Others };
        var turns = new[] { WaitingWay.HangfireLine, WaitingWay.HangfirePark }
            .Select(way => (Func<Task<IReadOnlyList<Held>>>)(() => turn.RunAsync(way, Runs, Names, Milliseconds, AtMost, stop))).ToList();
        var rounds = await Rounds.InTurnAsync(bench.Effort.WaitingRounds, turns, stop);
        if (rounds.Any(static ofWay => ofWay.Any(static held => held.Count < Runs + Others))) throw new WrongAnswerException();

        return
        [
            New($"Hangfire, {Others} jobs without a lock, beside", SecondsOf(rounds[0], isOther: true), SecondsOf(rounds[1], isOther: true), Goal.RatioAtMost(1.05)),
            New($"Hangfire, {Runs} runs of {Milliseconds} ms, {Names} names", SecondsOf(rounds[0], isOther: false), SecondsOf(rounds[1], isOther: false), goal: null),
        ];
    }

    private Row New(string metric, Spread ours, Spread theirs, Goal? goal) => new()
    {
        Case = Name,
        Peer = "parked only",
        Metric = metric,
        Unit = "s",
        Ours = ours,
        Theirs = theirs,
        Goal = goal,
    };

    private static Spread SecondsOf(IReadOnlyList<IReadOnlyList<Held>> rounds, bool isOther) =>
        Spread.Of(rounds.Select(held => new Timeline([.. held.Where(one => one.Name.StartsWith(WaitingOffer.Others, StringComparison.Ordinal) == isOther)]).Seconds));
}
