using System.Globalization;
using JobLocks.Benchmarks.Children;
using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Results;
using JobLocks.Benchmarks.Waiting;

namespace JobLocks.Benchmarks.Cases;

/// <summary>A holder of many locks dies, and under each of them one run waits: how soon are all of them woken, and does other work go on?</summary>
internal sealed class ManyNamesCase : ICase
{
    private const int Names = 10_000;
    private const double MostSeconds = 5;

    public string Name => "waiting-many";

    public bool TakesLong => true;

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        Bench.Say(Name);
        var turns = new List<(double Seconds, double Slowest)>();
        for (var round = 0; round < bench.Effort.WaitingRounds; round++) turns.Add(await TurnAsync(bench, stop));
        return
        [
            New("all woken after the holder died", "s", turns.Select(static turn => turn.Seconds), Goal.OursAtMost(MostSeconds)),
            New("slowest pair under another name meanwhile", "ms", turns.Select(static turn => turn.Slowest), goal: null),
        ];
    }

    private static async Task<(double Seconds, double Slowest)> TurnAsync(Bench bench, CancellationToken stop)
    {
        await using var line = await BareQueue.OpenAsync(bench.Database, "waiting-many", stop);
        await line.FillAsync(Names, "many-", Names, stop);
        var holder = await bench.Database.OpenAsync(stop);
        await using (var take = holder.CreateCommand())
        {
            take.CommandText = "SELECT count(pg_advisory_lock(key)) FROM joblocks.wait_queue";
            await take.ExecuteScalarAsync(stop);
        }

        line.Serve();
        using var over = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var others = PairsAsync(line.Locks, over.Token);
        var died = Clock.Now;
        await bench.Database.AskAsync("SELECT pg_terminate_backend($1)", stop, holder.ProcessID);
        var woken = new HashSet<string>(StringComparer.Ordinal);
        while (woken.Count < Names) woken.Add((await line.NextAsync(stop)).Name);
        var seconds = Clock.MillisecondsBetween(died, Clock.Now) / 1000;
        await over.CancelAsync();
        var slowest = await others;
        await holder.DisposeAsync();
        return (seconds, slowest);
    }

    private static async Task<double> PairsAsync(AdvisoryLocks locks, CancellationToken over)
    {
        var slowest = 0d;
        while (!over.IsCancellationRequested)
        {
            var began = Clock.Now;
            await using (await locks.TryAcquireAsync("another name", CancellationToken.None) ?? throw new WrongAnswerException())
            {
                slowest = Math.Max(slowest, Clock.MillisecondsBetween(began, Clock.Now));
            }
        }

        return slowest;
    }

    private Row New(string metric, string unit, IEnumerable<double> numbers, Goal? goal) => new()
    {
        Case = Name,
        Peer = "-",
        Metric = string.Create(CultureInfo.InvariantCulture, $"{Names:N0} names: {metric}"),
        Unit = unit,
        Ours = Spread.Of(numbers),
        Goal = goal,
    };
}
