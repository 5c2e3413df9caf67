using System.Globalization;
using JobLocks.Benchmarks.Children;
using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Results;
using JobLocks.Benchmarks.Waiting;

namespace JobLocks.Benchmarks.Cases;

/// <summary>What does it cost to inspect many locks and a long wait queue, and what does it cost those who acquire locks meanwhile?</summary>
internal sealed class InspectCase : ICase
{
    private const int HeldByEach = 4000;
    private const int Waiting = 100_000;
    private const int Readings = 15;
    private const double MostMilliseconds = 50;
    private const double LeastShare = 0.95;

    private static readonly TimeSpan BetweenReadings = TimeSpan.FromSeconds(1);

    public string Name => "inspect";

    public bool TakesLong => true;

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        Bench.Say(Name);
        await using var line = await BareQueue.OpenAsync(bench.Database, "inspect", stop);
        await using var others = AdvisoryLocks.Connect(bench.Database.ConnectionString("inspect others"), static options => options.ApplicationName = "inspect others");
        await using var held = await HoldAsync(line.Locks, "ours", stop);
        await using var heldByOthers = await HoldAsync(others, "others", stop);
        await line.FillAsync(Waiting, "looked-at-", names: 2, stop);

        var locks = line.Locks.Inspector;
        var key = LockKey.Of("looked-at-1");
        List<Row> rows =
        [
            await TimeAsync("overview", () => locks.GetOverviewAsync(stop)),
            await TimeAsync("a page of held locks", () => locks.GetHeldAsync(stop: stop)),
            await TimeAsync("a page of names that are waited for", () => locks.GetWaitingAsync(stop: stop)),
            await TimeAsync("one name", () => locks.GetNameAsync(key, stop)),
            await TimeAsync("a page of its line", () => locks.GetWaitingAsync(key, stop: stop)),
            await TimeAsync("the one sentence", () => locks.ExplainAsync("50001", stop)),
        ];
        var turns = await Rounds.InTurnAsync<double>(
            bench.Effort.Rounds, [() => PairsAsync(bench, line.Locks, locks, stop), () => PairsAsync(bench, line.Locks, locks: null, stop)], stop);
        rows.Add(new()
        {
            Case = Name,
            Peer = "no viewers",
            Metric = "take and release, one reading a second",
            Unit = "pairs/s",
            Ours = Spread.Of(turns[0]),
            Theirs = Spread.Of(turns[1]),
            Goal = Goal.RatioAtLeast(LeastShare),
        });
        return rows;
    }

    private static async Task<JobLockSet> HoldAsync(AdvisoryLocks locks, string prefix, CancellationToken stop) =>
        await locks.TryAcquireAllAsync(Enumerable.Range(0, HeldByEach).Select(i => string.Create(CultureInfo.InvariantCulture, $"{prefix}-{i}")), stop) ?? throw new WrongAnswerException();

    private async Task<Row> TimeAsync<T>(string what, Func<Task<T>> read)
    {
        var times = new List<double>();
        for (var i = 0; i < Readings; i++)
        {
            // As a page that loads itself again: without a pause, readings would be delayed in favour of runs.
            await Task.Delay(BetweenReadings);
            var began = Clock.Now;
            await read();
            times.Add(Clock.MillisecondsBetween(began, Clock.Now));
        }

        return new()
        {
            Case = Name,
            Peer = "-",
            Metric = string.Create(CultureInfo.InvariantCulture, $"{what}, {2 * HeldByEach:N0} held, {Waiting:N0} wait"),
            Unit = "ms",
            Ours = Spread.Of(times.Skip(Readings / 3)),
            Goal = Goal.OursAtMost(MostMilliseconds),
        };
    }

    /// <summary>At least one reading falls into each turn.</summary>
    private static async Task<double> PairsAsync(Bench bench, AdvisoryLocks taking, IJobLockInspector? locks, CancellationToken stop)
    {
        using var over = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var reading = locks is null ? Task.CompletedTask : ReadAsync(locks, over.Token);
        var (pairs, began) = (0, Clock.Now);
        var most = Math.Max(bench.Effort.Turn.TotalMilliseconds, 2 * BetweenReadings.TotalMilliseconds);
        while (Clock.MillisecondsBetween(began, Clock.Now) < most)
        {
            await using var handle = await taking.TryAcquireAsync("one more", stop) ?? throw new WrongAnswerException();
            pairs++;
        }

        var seconds = Clock.MillisecondsBetween(began, Clock.Now) / 1000;
        await over.CancelAsync();
        await reading;
        return pairs / seconds;
    }

    private static async Task ReadAsync(IJobLockInspector locks, CancellationToken over)
    {
        try
        {
            while (true)
            {
                await locks.GetOverviewAsync(over);
                await Task.Delay(BetweenReadings, over);
            }
        }
        catch (OperationCanceledException) when (over.IsCancellationRequested)
        {
            // It has read enough.
        }
    }
}
