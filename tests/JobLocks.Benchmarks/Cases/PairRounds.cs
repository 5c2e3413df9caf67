using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Peers;

namespace JobLocks.Benchmarks.Cases;

/// <summary>The turns behind both <c>pairs</c> and <c>latency</c>: take and release, each caller a name of its own.</summary>
internal sealed class PairRounds
{
    /// <summary>The floor: a round trip that asks for nothing.</summary>
    public const string FloorName = "SELECT 1, prepared";

    private const string Case = "pairs";

    private Task<IReadOnlyList<PairTurns>>? _measured;

    public static IReadOnlyList<int> Callers { get; } = [1, 10, 50, 200];

    /// <summary>Measures once, however many cases ask.</summary>
    public Task<IReadOnlyList<PairTurns>> MeasureAsync(Bench bench, CancellationToken stop) => _measured ??= MeasureAllAsync(bench, stop);

    private static async Task<IReadOnlyList<PairTurns>> MeasureAllAsync(Bench bench, CancellationToken stop)
    {
        var peers = bench.Peers(Case);
        try
        {
            var measured = new List<PairTurns>();
            foreach (var callers in Callers)
            {
                Bench.Say($"{Case}: {callers} callers");
                measured.AddRange(await MeasureAsync(bench, peers, callers, stop));
            }

            return measured;
        }
        finally
        {
            foreach (var peer in peers) await peer.DisposeAsync();
        }
    }

    private static async Task<IEnumerable<PairTurns>> MeasureAsync(Bench bench, IReadOnlyList<ILockPeer> peers, int callers, CancellationToken stop)
    {
        var names = peers.Select(static peer => peer.Name).ToList();
        var turns = peers.Select(peer => (Func<Task<LoadResult>>)(() => PeerTurnAsync(bench, peer, callers, stop))).ToList();
        if (callers == 1)
        {
            names.Add(FloorName);
            turns.Add(() => FloorTurnAsync(bench, stop));
        }

        var results = await Rounds.InTurnAsync(bench.Effort.Rounds, turns, stop);
        return names.Zip(results, (name, rounds) => new PairTurns(name, callers, rounds));
    }

    private static async Task<LoadResult> PeerTurnAsync(Bench bench, ILockPeer peer, int callers, CancellationToken stop)
    {
        var result = await new Load(bench.Effort, stop).RunAsync(callers, caller =>
        {
            var one = peer.Lock($"benchmark-pair-{caller}");
            return async () =>
            {
                var handle = await one.TryTakeAsync(stop) ?? throw new WrongAnswerException();
                await handle.DisposeAsync();
            };
        });
        await peer.RestAsync(stop);
        return result;
    }

    private static async Task<LoadResult> FloorTurnAsync(Bench bench, CancellationToken stop)
    {
        await using var connection = await bench.Database.OpenAsync(stop);
        await using var command = connection.CreateCommand();
        command.CommandText = "SELECT 1";
        await command.PrepareAsync(stop);
        return await new Load(bench.Effort, stop).RunAsync(callers: 1, _ => () => command.ExecuteScalarAsync(stop));
    }
}
