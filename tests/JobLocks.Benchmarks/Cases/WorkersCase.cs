using Hangfire.PostgreSql;
using Hangfire.PostgreSql.Factories;
using Hangfire.Storage.Monitoring;
using JobLocks.Benchmarks.Children;
using JobLocks.Benchmarks.Results;
using JobLocks.Benchmarks.Schedulers;
using JobLocks.Benchmarks.Waiting;

namespace JobLocks.Benchmarks.Cases;

/// <summary>A thousand runs wait for one lock: how many workers have nothing else to do than to wait with them?</summary>
internal sealed class WorkersCase : ICase
{
    private const int Runs = 1000;
    private const int Forever = 600_000;

    private static readonly TimeSpan LookAgainAfter = TimeSpan.FromSeconds(3);

    public string Name => "waiting-workers";

    public bool TakesLong => true;

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        Bench.Say(Name);
        return
        [
            new()
            {
                Case = Name,
                Peer = "[DisableConcurrentExecution]",
                Metric = $"workers blocked by {Runs} waiting runs",
                Unit = "",
                Ours = Measuring.Spread.Of([await TurnAsync(bench, WaitingWay.HangfireLine, stop)]),
                Theirs = Measuring.Spread.Of([await TurnAsync(bench, WaitingWay.HangfireOwn, stop)]),
                Goal = Goal.OursAtMost(0),
            },
        ];
    }

    private static async Task<double> TurnAsync(Bench bench, WaitingWay way, CancellationToken stop)
    {
        await using var schema = await Schema.CreateAsync(bench.Database, "workers", stop);
        await using var server = ChildProcess.Start(schema.ConnectionString, WaitingServer.Verb, way.ToString(), "node");
        await server.ExpectAsync(WaitingServer.Ready, stop);
        await server.OrderAsync(WaitingServer.Offer, new WaitingOffer("workers-", Runs + 1, 1, Forever));
        await server.AnswerAsync(stop);

        var options = new PostgreSqlStorageOptions { SchemaName = schema.Name };
        var monitor = new PostgreSqlStorage(new NpgsqlConnectionFactory(schema.ConnectionString, options), options).GetMonitoringApi();
        // Until nothing changes any more: all wait, or nobody is left to fetch the rest.
        var now = monitor.GetStatistics();
        StatisticsDto last;
        do
        {
            last = now;
            await Task.Delay(LookAgainAfter, stop);
            now = monitor.GetStatistics();
        }
        while ((now.Enqueued, now.Scheduled, now.Processing) != (last.Enqueued, last.Scheduled, last.Processing));

        // It would hold its lock for ten minutes.
        server.Kill();
        return now.Processing - 1;
    }
}
