using System.Diagnostics;
using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Results;
using JobLocks.Postgres.Session;
using Microsoft.Extensions.Logging.Abstractions;
using Npgsql;

namespace JobLocks.Benchmarks.Cases;

/// <summary>How long does a session take to open, and how much of it is the proof that its locks exclude each other?</summary>
internal sealed class OpenCase : ICase
{
    private const double MostMilliseconds = 10;
    private const int WarmUps = 5;
    private const int OpensInATurn = 20;

    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(15);

    public string Name => "open";

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        Bench.Say(Name);
        await using var source = NpgsqlDataSource.Create(bench.Database.ConnectionString(Bench.ApplicationOfOurs(Name)));
        var connector = new SessionConnector(source, new() { ApplicationName = Bench.ApplicationOfOurs(Name) }, NullLogger.Instance);
        for (var number = 0; number < WarmUps; number++) (_, _) = (Open(connector), Prove(connector));

        var turns = await Rounds.InTurnAsync(bench.Effort.Rounds, [() => MedianAsync(() => Open(connector), stop), () => MedianAsync(() => Prove(connector), stop)], stop);
        var (opens, proofs) = (Spread.Of(turns[0]), Spread.Of(turns[1]));
        return
        [
            // The proof runs between two other steps of the opening, so it can be subtracted.
            Row("an open with and without the proof", opens) with { Theirs = Spread.Of(opens.Rounds.Zip(proofs.Rounds, static (open, proof) => open - proof)) },
            Row("the proof alone", proofs) with { Goal = Goal.OursAtMost(MostMilliseconds) },
        ];
    }

    private Row Row(string metric, Spread ours) => new() { Case = Name, Peer = "without the proof", Metric = metric, Unit = "ms", Ours = ours };

    private static Task<double> MedianAsync(Func<double> measure, CancellationToken stop) =>
        Task.Run(() => Spread.Of(Enumerable.Range(0, OpensInATurn).Select(_ => measure()).ToList()).Median, stop);

    private static double Open(SessionConnector connector)
    {
        var started = Stopwatch.GetTimestamp();
        using var session = connector.Open(new(Silence));
        return Stopwatch.GetElapsedTime(started).TotalMilliseconds;
    }

    private static double Prove(SessionConnector connector)
    {
        using var first = connector.Connect();
        var started = Stopwatch.GetTimestamp();
        ExclusionProof.Run(first, first.ProcessID, () => connector.Connect(), new(Silence));
        return Stopwatch.GetElapsedTime(started).TotalMilliseconds;
    }
}
