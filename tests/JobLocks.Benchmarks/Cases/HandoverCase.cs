using System.Globalization;
using JobLocks.Benchmarks.Children;
using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Peers;
using JobLocks.Benchmarks.Results;

namespace JobLocks.Benchmarks.Cases;

/// <summary>How soon does a waiter in another process own a lock that is released here? And what do many waiters cost?</summary>
internal sealed class HandoverCase : ICase
{
    private const int Waiters = 20;
    private const double MostRatio = 1.5;

    // A waiter says that it is going to wait, not that it waits: give it time to. The second part keeps us out of step with one that looks again now and then.
    private static readonly TimeSpan Settling = TimeSpan.FromMilliseconds(60);
    private static readonly TimeSpan OutOfStep = TimeSpan.FromMilliseconds(100);

    // Not at random, or two runs could not be compared.
    private readonly Random _random = new(Seed: 1);

    public string Name => "handover";

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        Bench.Say(Name);
        await using var ours = bench.Ours(Name);
        await using var theirs = bench.Theirs(Name, isDedicated: false);
        await using var ourWaiter = ChildProcess.Start(bench, isOurs: true);
        await using var theirWaiter = ChildProcess.Start(bench, isOurs: false);

        await TurnAsync(ours, ourWaiter, bench.Effort.Handovers / 2, stop);
        await TurnAsync(theirs, theirWaiter, bench.Effort.Handovers / 2, stop);
        var times = await Rounds.InTurnAsync<IReadOnlyList<double>>(
            bench.Effort.Rounds,
            [() => TurnAsync(ours, ourWaiter, bench.Effort.Handovers, stop), () => TurnAsync(theirs, theirWaiter, bench.Effort.Handovers, stop)],
            stop);
        return
        [
            Compare("release to ownership, p50", Goal.RatioAtMost(MostRatio), times, static turn => Spread.Of(turn).Median),
            Compare("release to ownership, worst", goal: null, times, static turn => turn.Max()),
            Compare(
                await CountAsync(bench, ours, ourWaiter, Child.Application(isOurs: true), stop),
                await CountAsync(bench, theirs, theirWaiter, Child.Application(isOurs: false), stop)),
        ];
    }

    private async Task<IReadOnlyList<double>> TurnAsync(ILockPeer peer, ChildProcess waiter, int handovers, CancellationToken stop)
    {
        var times = new List<double>();
        for (var i = 0; i < handovers; i++)
        {
            var name = $"benchmark-handover-{i}";
            var handle = await peer.Lock(name).TryTakeAsync(stop) ?? throw new WrongAnswerException();
            await waiter.OrderAsync(nameof(Child.WaitAsync), name);
            await waiter.ExpectAsync(Child.Waiting, stop);
            await Task.Delay(Settling + (OutOfStep * _random.NextDouble()), stop);

            var released = Clock.Now;
            await handle.DisposeAsync();
            times.Add(Clock.MillisecondsBetween(released, long.Parse(await waiter.AnswerAsync(stop), CultureInfo.InvariantCulture)));
        }

        return times;
    }

    private static async Task<long> CountAsync(Bench bench, ILockPeer peer, ChildProcess waiter, string application, CancellationToken stop)
    {
        var handles = new List<IAsyncDisposable>();
        for (var i = 0; i < Waiters; i++) handles.Add(await peer.Lock(Child.CrowdLock(i)).TryTakeAsync(stop) ?? throw new WrongAnswerException());

        await waiter.OrderAsync(nameof(Child.CrowdAsync), Waiters);
        await waiter.ExpectAsync(Child.Waiting, stop);
        // Twenty connections take longer than one to be there.
        await Task.Delay(Settling * Waiters, stop);
        var connections = await bench.Database.CountConnectionsAsync(application, stop);

        foreach (var handle in handles) await handle.DisposeAsync();
        await waiter.ExpectAsync(Child.Done, stop);
        return connections;
    }

    private Row Compare(string metric, Goal? goal, IReadOnlyList<IReadOnlyList<IReadOnlyList<double>>> times, Func<IReadOnlyList<double>, double> number) => new()
    {
        Case = Name,
        Peer = TheirLocks.SharedName,
        Callers = 1,
        Metric = metric,
        Unit = "ms",
        Ours = Spread.Of(times[0].Select(number)),
        Theirs = Spread.Of(times[1].Select(number)),
        Goal = goal,
    };

    private Row Compare(long ours, long theirs) => new()
    {
        Case = Name,
        Peer = TheirLocks.SharedName,
        Callers = Waiters,
        Metric = "connections of the waiters' process",
        Unit = "",
        Ours = Spread.Of([ours]),
        Theirs = Spread.Of([theirs]),
    };
}
