using System.Globalization;
using JobLocks.Benchmarks.Children;
using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Results;
using JobLocks.Benchmarks.Waiting;

namespace JobLocks.Benchmarks.Cases;

/// <summary>Does a long line cost those who leave it, or those who have nothing to do with it? And is its order kept?</summary>
internal sealed class LongQueueCase : ICase
{
    private const int Short = 10;
    private const int Long = 100_000;
    private const int Turns = 9;
    private const int Pairs = 2000;
    private const double MostRatio = 2;
    private const double MostForOthers = 1.1;

    public string Name => "waiting-long";

    public bool TakesLong => true;

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        Bench.Say(Name);
        var rounds = await Rounds.InTurnAsync<Result>(bench.Effort.WaitingRounds, [() => TurnAsync(bench, Long, stop), () => TurnAsync(bench, Short, stop)], stop);
        return
        [
            New("release to the next one woken, p50", "ms", rounds, static turn => turn.Release, Goal.RatioAtMost(MostRatio)),
            New("pair under another name, p50", "us", rounds, static turn => turn.OtherMedian, goal: null),
            New("pair under another name, p99", "us", rounds, static turn => turn.OtherNearlyAll, Goal.RatioAtMost(MostForOthers)),
            New("woken out of order", "", rounds, static turn => turn.Disorder, Goal.OursAtMost(0)),
        ];
    }

    private static async Task<Result> TurnAsync(Bench bench, int length, CancellationToken stop)
    {
        await using var line = await BareQueue.OpenAsync(bench.Database, "waiting-long", stop);
        var holding = await line.Locks.TryAcquireAsync("long-0", stop) ?? throw new WrongAnswerException();
        await line.FillAsync(length, "long-", names: 1, stop);
        line.Serve();

        // The first turns are for what must be compiled and planned.
        var releases = new List<double>();
        var disorder = 0;
        var last = 0;
        for (var turn = 0; turn < Turns; turn++)
        {
            var released = Clock.Now;
            await holding.DisposeAsync();
            var woken = await line.NextAsync(stop);
            releases.Add(Clock.MillisecondsBetween(released, Clock.Now));
            var number = int.Parse(woken.Address.Run, CultureInfo.InvariantCulture);
            if (number != last + 1) disorder++;
            last = number;
            holding = await line.EnterAsync(woken, stop);
        }

        var others = new List<double>();
        for (var pair = 0; pair < Pairs; pair++)
        {
            var began = Clock.Now;
            await using (await line.Locks.TryAcquireAsync("another name", stop) ?? throw new WrongAnswerException())
            {
                others.Add(Clock.MillisecondsBetween(began, Clock.Now) * 1000);
            }
        }

        await holding.DisposeAsync();
        others.Sort();
        return new(Spread.Of(releases.Skip(Turns / 3)).Median, others[Pairs / 2], others[Pairs * 99 / 100], disorder);
    }

    private Row New(string metric, string unit, IReadOnlyList<IReadOnlyList<Result>> rounds, Func<Result, double> number, Goal? goal) => new()
    {
        Case = Name,
        Peer = string.Create(CultureInfo.InvariantCulture, $"{Short} in line instead of {Long:N0}"),
        Metric = metric,
        Unit = unit,
        Ours = Spread.Of(rounds[0].Select(number)),
        Theirs = Spread.Of(rounds[1].Select(number)),
        Goal = goal,
    };

    private sealed record Result(double Release, double OtherMedian, double OtherNearlyAll, double Disorder);
}
