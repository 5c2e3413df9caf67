using System.Globalization;
using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Results;
using JobLocks.Benchmarks.Waiting;
using JobLocks.Testing.Postgres;

namespace JobLocks.Benchmarks.Cases;

/// <summary>Which statements does a run that waits send, and what do they cost the server? Prints the statements of each way, the dearest first.</summary>
internal sealed class WaitCostCase : ICase
{
    private const int Names = 5;
    private const int Runs = 200;
    private const int Milliseconds = 20;
    private const int PrintedStatements = 60;
    private const int PrintedLength = 110;

    // The statements are counted in one database, and nothing else may work there. Not every server has the library, so the other cases do without.
    private const string ServerSettings =
        """
        max_connections = 500
        shared_preload_libraries = 'pg_stat_statements'
        pg_stat_statements.track_planning = on
        """;

    private static readonly TimeSpan AtMost = TimeSpan.FromSeconds(60);

    private static readonly IReadOnlyList<(string Scheduler, WaitingWay Ours, WaitingWay Bare)> Comparisons =
    [
        ("Hangfire", WaitingWay.HangfireLine, WaitingWay.HangfireBare),
        ("Quartz", WaitingWay.QuartzLine, WaitingWay.QuartzBare),
    ];

    public string Name => "waiting-cost";

    public bool TakesLong => true;

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        Bench.Say(Name);
        await using var server = await PostgresServer.StartAsync(ServerSettings, stop);
        await using var database = new Database(server.ConnectionString);
        await database.AskAsync("CREATE EXTENSION pg_stat_statements", stop);

        var rows = new List<Row>();
        foreach (var (scheduler, ours, bare) in Comparisons)
        {
            var withLocks = await MeasureAsync(database, bench.Effort, ours, stop);
            var withoutLocks = await MeasureAsync(database, bench.Effort, bare, stop);
            rows.Add(New($"{scheduler}, statements of a run", "", withLocks, withoutLocks, static work => work.Statements.Sum(static one => one.Calls)));
            rows.Add(New($"{scheduler}, of these by JobLocks", "", withLocks, withoutLocks, static work => work.Statements.Where(static one => one.IsOurs).Sum(static one => one.Calls)));
            rows.Add(New($"{scheduler}, transactions of a run", "", withLocks, withoutLocks, static work => work.Transactions));
            rows.Add(New($"{scheduler}, server's time for a run", "ms", withLocks, withoutLocks, static work => work.Statements.Sum(static one => one.Milliseconds)));
            rows.Add(New($"{scheduler}, of this for JobLocks", "ms", withLocks, withoutLocks, static work => work.Statements.Where(static one => one.IsOurs).Sum(static one => one.Milliseconds)));
            Print(ours, withLocks);
            Print(bare, withoutLocks);
        }

        return rows;
    }

    private static async Task<ServerWork> MeasureAsync(Database database, Effort effort, WaitingWay way, CancellationToken stop)
    {
        await using var connection = await database.OpenAsync(stop);
        var turn = new WaitingTurn(new(database, effort)) { OnWarm = () => ServerWork.BeginAsync(connection, stop) };
        var held = await turn.RunAsync(way, Runs, Names, Milliseconds, AtMost, stop);
        return held.Count == Runs ? await ServerWork.ReadAsync(connection, stop) : throw new WrongAnswerException();
    }

    private Row New(string metric, string unit, ServerWork ours, ServerWork bare, Func<ServerWork, double> number) => new()
    {
        Case = Name,
        Peer = "no lock",
        Metric = metric,
        Unit = unit,
        Ours = Spread.Of([number(ours) / Runs]),
        Theirs = Spread.Of([number(bare) / Runs]),
    };

    private static void Print(WaitingWay way, ServerWork work)
    {
        Console.WriteLine($"{way}, for each run: calls, ms, statement");
        foreach (var one in work.Statements.Take(PrintedStatements))
        {
            var text = string.Join(' ', one.Text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {one.Calls / Runs,6:0.00} {one.Milliseconds / Runs,8:0.000}  {text[..Math.Min(PrintedLength, text.Length)]}"));
        }
    }
}
