using System.Globalization;
using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Peers;
using JobLocks.Benchmarks.Results;
using Npgsql;

namespace JobLocks.Benchmarks.Cases;

/// <summary>What does it cost those who take locks that it is written down who held what, and for how long?</summary>
internal sealed class RecordedHoldersCase : ICase
{
    private const int Callers = 10;

    // One for each caller, as in the other cases; and so many that there are as many names as are kept.
    private static readonly IReadOnlyList<(int NamesOfEach, Goal? Goal)> Loads = [(1, Goal.RatioAtLeast(LeastShare)), (1000, null)];

    private const double LeastShare = 0.95;

    private const string Grants =
        """
        CREATE ROLE {0} LOGIN;
        GRANT USAGE ON SCHEMA joblocks TO {0};
        GRANT USAGE, UPDATE ON SEQUENCE joblocks.fence, joblocks.entry_numbers TO {0};
        GRANT SELECT, INSERT ON joblocks.servers TO {0};
        GRANT SELECT, INSERT, UPDATE ON joblocks.declared_limits TO {0};
        GRANT SELECT, INSERT, UPDATE, DELETE ON joblocks.wait_queue TO {0}
        """;

    public string Name => "recorded-holders";

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        Bench.Say(Name);
        await using var noting = new Ours(bench.Database.ConnectionString("recorded-holders"), "recorded-holders");
        // Its session sets the schema up.
        await (await noting.Lock("first").TakeAsync(TimeSpan.FromMinutes(1), stop)).DisposeAsync();
        await using var silent = new Ours(await SilentAsync(bench, stop), "holders not recorded");

        // What is not yet compiled would count for the one that comes first.
        await TurnAsync(bench, noting, 1, stop);
        var rows = new List<Row>();
        foreach (var (namesOfEach, goal) in Loads)
        {
            var turns = await Rounds.InTurnAsync(bench.Effort.Rounds, [() => TurnAsync(bench, noting, namesOfEach, stop), () => TurnAsync(bench, silent, namesOfEach, stop)], stop);
            rows.Add(new()
            {
                Case = Name,
                Peer = "nothing is written down",
                Callers = Callers,
                Metric = string.Create(CultureInfo.InvariantCulture, $"take and release, {Callers * namesOfEach:N0} names"),
                Unit = "pairs/s",
                Ours = Spread.Of(turns[0].Select(static turn => turn.PerSecond)),
                Theirs = Spread.Of(turns[1].Select(static turn => turn.PerSecond)),
                Goal = goal,
            });
        }

        return rows;
    }

    /// <summary>For a role that has no rights to write it down.</summary>
    private static async Task<string> SilentAsync(Bench bench, CancellationToken stop)
    {
        var role = $"silent_{Guid.NewGuid():N}";
        await bench.Database.AskAsync(Grants.Replace("{0}", role, StringComparison.Ordinal), stop);
        return new NpgsqlConnectionStringBuilder(bench.Database.ConnectionString("holders not recorded")) { Username = role }.ConnectionString;
    }

    private static Task<LoadResult> TurnAsync(Bench bench, Ours locks, int namesOfEach, CancellationToken stop) => new Load(bench.Effort, stop).RunAsync(Callers, caller =>
    {
        var nth = 0;
        return async () =>
        {
            var name = string.Create(CultureInfo.InvariantCulture, $"recorded-{caller}-{nth++ % namesOfEach}");
            await using var handle = await locks.Lock(name).TryTakeAsync(stop) ?? throw new WrongAnswerException();
        };
    });
}
