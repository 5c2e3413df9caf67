using JobLocks.Benchmarks.Children;
using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Results;
using JobLocks.Benchmarks.Schedulers;
using JobLocks.Benchmarks.Waiting;

namespace JobLocks.Benchmarks.Cases;

/// <summary>The process of a run that holds its lock is killed: how soon does the next one begin, in another process?</summary>
internal sealed class KillCase : ICase
{
    private const double MostSeconds = 1.5;
    private const int Forever = 600_000;

    // The second run meets the lock, and becomes whatever its scheduler makes of it.
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(2);

    private static readonly (WaitingWay Ours, WaitingWay Theirs, string Peer)[] Pairs =
    [
        (WaitingWay.HangfireLine, WaitingWay.HangfireOwn, "[DisableConcurrentExecution]"),
        (WaitingWay.QuartzLine, WaitingWay.QuartzOwn, "[DisallowConcurrentExecution]"),
    ];

    public string Name => "waiting-kill";

    public bool TakesLong => true;

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        Bench.Say(Name);
        var rows = new List<Row>();
        foreach (var (ours, theirs, peer) in Pairs)
        {
            var rounds = await Rounds.InTurnAsync<double?>(bench.Effort.WaitingRounds, [() => TurnAsync(bench, ours, stop), () => TurnAsync(bench, theirs, stop)], stop);
            var mine = rounds[0].OfType<double>().ToList();
            var others = rounds[1].OfType<double>().ToList();
            rows.Add(new()
            {
                Case = Name,
                Peer = peer,
                Metric = "kill -9 to next start",
                Unit = "s",
                Ours = mine.Count == rounds[0].Count ? Spread.Of(mine) : throw new WrongAnswerException(),
                Theirs = others.Count > 0 ? Spread.Of(others) : null,
                Goal = Goal.OursAtMost(MostSeconds),
                Note = others.Count < rounds[1].Count ? $"the peer had not begun after {bench.Effort.WaitingAtMost.TotalSeconds:0} s" : null,
            });
        }

        return rows;
    }

    /// <returns>In seconds; null where it took too long.</returns>
    private static async Task<double?> TurnAsync(Bench bench, WaitingWay way, CancellationToken stop)
    {
        await using var schema = await Schema.CreateAsync(bench.Database, "killed", stop);
        await using var victim = await StartAsync(schema, way, "victim", stop);
        await victim.OrderAsync(WaitingServer.Offer, new WaitingOffer("killed-", 1, 1, Forever));
        await UntilAsync(victim, "in ", stop);
        await using var other = await StartAsync(schema, way, "other", stop);
        await other.OrderAsync(WaitingServer.Offer, new WaitingOffer("killed-", 1, 1, 1) { Number = 1 });
        await Task.Delay(Settling, stop);

        var killed = Clock.Now;
        victim.Kill();
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(stop);
        patience.CancelAfter(bench.Effort.WaitingAtMost);
        try
        {
            return Clock.MillisecondsBetween(killed, Held.Read(await UntilAsync(other, "in ", patience.Token)).Entered) / 1000;
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            return null;
        }
    }

    private static async Task<ChildProcess> StartAsync(Schema schema, WaitingWay way, string node, CancellationToken stop)
    {
        var server = ChildProcess.Start(schema.ConnectionString, WaitingServer.Verb, way.ToString(), node);
        await server.ExpectAsync(WaitingServer.Ready, stop);
        return server;
    }

    private static async Task<string> UntilAsync(ChildProcess server, string beginning, CancellationToken stop)
    {
        while (true)
        {
            var line = await server.AnswerAsync(stop);
            if (line.StartsWith(beginning, StringComparison.Ordinal)) return line;
        }
    }
}
