using System.Globalization;
using JobLocks.Benchmarks.Children;
using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Results;
using JobLocks.Benchmarks.Schedulers;
using JobLocks.Benchmarks.Waiting;

namespace JobLocks.Benchmarks.Cases;

/// <summary>How soon does a waiting run begin on an idle scheduler when another process releases its lock, and when its own process does?</summary>
/// <param name="who">The scheduler.</param>
/// <param name="way">How its runs wait.</param>
internal sealed class WakeCase(string who, WaitingWay way) : ICase
{
    private const double MostRatio = 2;

    private static readonly TimeSpan LookAgainAfter = TimeSpan.FromMilliseconds(20);

    private int _names;

    public string Name => $"wake-{who}";

    public bool TakesLong => true;

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        Bench.Say(Name);
        await using var schema = await Schema.CreateAsync(bench.Database, "wake", stop);
        await using var others = AdvisoryLocks.Connect(schema.ConnectionString, static options => options.ApplicationName = "others");
        await using var server = ChildProcess.Start(schema.ConnectionString, WaitingServer.Verb, way.ToString(), "node");
        await server.ExpectAsync(WaitingServer.Ready, stop);

        Task<IReadOnlyList<double>> FromOtherProcessAsync() => TurnAsync(bench, server, name => HoldHereAsync(others, name, stop), stop);
        Task<IReadOnlyList<double>> FromOwnProcessAsync() => TurnAsync(bench, server, name => HoldThereAsync(server, name, stop), stop);
        await FromOtherProcessAsync();
        await FromOwnProcessAsync();
        var times = await Rounds.InTurnAsync<IReadOnlyList<double>>(bench.Effort.WaitingRounds, [FromOtherProcessAsync, FromOwnProcessAsync], stop);
        return
        [
            New("release to start, p50", times, static turn => Spread.Of(turn).Median, Goal.RatioAtMost(MostRatio)),
            New("release to start, worst", times, static turn => turn.Max()),
        ];
    }

    /// <summary>Has one run after the other wait, and begin.</summary>
    /// <returns>For each, the milliseconds from the release to its beginning.</returns>
    private async Task<IReadOnlyList<double>> TurnAsync(Bench bench, ChildProcess server, Func<string, Task<Func<Task<long?>>>> holdAsync, CancellationToken stop)
    {
        var times = new List<double>();
        for (var i = 0; i < bench.Effort.Handovers; i++)
        {
            // A word, so that it stands in the lock name as it is.
            var prefix = string.Create(CultureInfo.InvariantCulture, $"wake{++_names}_");
            var name = $"bench({prefix}0)";
            var releaseAsync = await holdAsync(name);
            await server.OrderAsync(WaitingServer.Offer, new WaitingOffer(prefix, Runs: 1, Names: 1, Milliseconds: 1));
            while (await bench.Database.AskAsync("SELECT entry FROM joblocks.wait_queue WHERE parked AND name = $1", stop, name) is null) await Task.Delay(LookAgainAfter, stop);

            times.Add(await StartedAsync(server, await releaseAsync(), stop));
        }

        return times;
    }

    /// <returns>The milliseconds until the run began.</returns>
    private static async Task<double> StartedAsync(ChildProcess server, long? released, CancellationToken stop)
    {
        while (true)
        {
            var said = await server.AnswerAsync(stop);
            if (said.StartsWith(WaitingServer.Released, StringComparison.Ordinal)) released = long.Parse(said[(WaitingServer.Released.Length + 1)..], CultureInfo.InvariantCulture);
            else if (said.StartsWith("out ", StringComparison.Ordinal)) return Clock.MillisecondsBetween(released!.Value, Held.Read(said).Entered);
        }
    }

    private static async Task<Func<Task<long?>>> HoldHereAsync(AdvisoryLocks others, string name, CancellationToken stop)
    {
        var handle = await others.TryAcquireAsync(name, stop) ?? throw new WrongAnswerException();
        return async () =>
        {
            var released = Clock.Now;
            await handle.DisposeAsync();
            return released;
        };
    }

    private static async Task<Func<Task<long?>>> HoldThereAsync(ChildProcess server, string name, CancellationToken stop)
    {
        await server.OrderAsync(WaitingServer.Hold, name);
        await server.ExpectAsync(WaitingServer.Holds, stop);
        return async () =>
        {
            await server.OrderAsync(WaitingServer.Release, name);
            return null;
        };
    }

    private Row New(string metric, IReadOnlyList<IReadOnlyList<IReadOnlyList<double>>> times, Func<IReadOnlyList<double>, double> number, Goal? goal = null) => new()
    {
        Case = Name,
        Peer = "released by its own process",
        Metric = metric,
        Unit = "ms",
        Ours = Spread.Of(times[0].Select(number)),
        Theirs = Spread.Of(times[1].Select(number)),
        Goal = goal,
    };
}
