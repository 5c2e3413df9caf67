using System.Globalization;
using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Peers;
using JobLocks.Benchmarks.Results;
using JobLocks.Benchmarks.Waiting;

namespace JobLocks.Benchmarks.Cases;

/// <summary>
/// What does it cost those who take locks that runs of a stopped application are in the wait queue? A row keeps a lock from others only where its store is
/// served, and that is looked up where there are rows under the name. The same beside an empty queue, in a schema of its own.
/// </summary>
internal sealed class PresenceCase : ICase
{
    private const string CaseName = "presence";
    private const string EmptySchema = "joblocks_empty";
    private const int Callers = 10;
    private const int RunsOfEach = 100;
    private const double LeastShare = 0.98;

    // Only the first is the usual path: under the others, each take looks up which stores are served.
    private static readonly IReadOnlyList<(string Prefix, string Metric, Goal? Goal)> Loads =
    [
        ("free", "take and release, 1,000 runs of a stopped application under other names", Goal.RatioAtLeast(LeastShare)),
        ("waited-for", "take and release, 100 runs of a stopped application under each name", null),
    ];

    public string Name => CaseName;

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        Bench.Say(CaseName);
        await using var line = await BareQueue.OpenAsync(bench.Database, CaseName, stop);
        await line.FillAsync(Callers * RunsOfEach, "waited-for-", Callers, stop);
        await using var queued = new Ours(bench.Database.ConnectionString(CaseName), CaseName);
        await using var empty = new Ours(bench.Database.ConnectionString(EmptySchema), EmptySchema, EmptySchema);

        // What is not yet compiled would count for the one that comes first.
        foreach (var (prefix, _, _) in Loads)
        {
            await TurnAsync(bench, queued, prefix, stop);
            await TurnAsync(bench, empty, prefix, stop);
        }

        var rows = new List<Row>();
        foreach (var (prefix, metric, goal) in Loads)
        {
            var turns = await Rounds.InTurnAsync(bench.Effort.Rounds, [() => TurnAsync(bench, queued, prefix, stop), () => TurnAsync(bench, empty, prefix, stop)], stop);
            rows.Add(new()
            {
                Case = CaseName,
                Peer = "an empty wait queue",
                Callers = Callers,
                Metric = metric,
                Unit = "pairs/s",
                Ours = Spread.Of(turns[0].Select(static turn => turn.PerSecond)),
                Theirs = Spread.Of(turns[1].Select(static turn => turn.PerSecond)),
                Goal = goal,
            });
        }

        await bench.Database.AskAsync($"DROP SCHEMA {EmptySchema} CASCADE", stop);
        return rows;
    }

    private static Task<LoadResult> TurnAsync(Bench bench, Ours locks, string prefix, CancellationToken stop) => new Load(bench.Effort, stop).RunAsync(Callers, caller =>
    {
        var name = string.Create(CultureInfo.InvariantCulture, $"{prefix}-{caller}");
        return async () =>
        {
            await using var handle = await locks.Lock(name).TryTakeAsync(stop) ?? throw new WrongAnswerException();
        };
    });
}
