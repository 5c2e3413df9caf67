using JobLocks.Benchmarks.Children;
using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Peers;
using JobLocks.Benchmarks.Results;

namespace JobLocks.Benchmarks.Cases;

/// <summary>What does a process pay for 1,600 locks that it holds?</summary>
internal sealed class HeldCase : ICase
{
    private const int Locks = 1600;

    public string Name => "held";

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        Bench.Say(Name);
        var turns = await Rounds.InTurnAsync<HeldLocks>(
            bench.Effort.Rounds,
            [() => TurnAsync(bench, isOurs: true, stop), () => TurnAsync(bench, isOurs: false, stop)],
            stop);
        return
        [
            Compare("take one of them", "us", turns, static turn => turn.Take),
            Compare("pair while all are held", "us", turns, static turn => turn.Pair),
            Compare("managed memory for each", "bytes", turns, static turn => turn.ManagedBytes),
            Compare("private memory for each", "bytes", turns, static turn => turn.PrivateBytes),
        ];
    }

    private static async Task<HeldLocks> TurnAsync(Bench bench, bool isOurs, CancellationToken stop)
    {
        await using var fresh = ChildProcess.Start(bench, isOurs);
        await fresh.OrderAsync(nameof(HeldLocks), Locks);
        return HeldLocks.Parse(await fresh.AnswerAsync(stop));
    }

    private Row Compare(string metric, string unit, IReadOnlyList<IReadOnlyList<HeldLocks>> turns, Func<HeldLocks, double> number) => new()
    {
        Case = Name,
        Peer = TheirLocks.SharedName,
        Callers = 1,
        Metric = metric,
        Unit = unit,
        Ours = Spread.Of(turns[0].Select(number)),
        Theirs = Spread.Of(turns[1].Select(number)),
    };
}
