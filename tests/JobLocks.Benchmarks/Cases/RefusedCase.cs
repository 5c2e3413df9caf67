using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Peers;
using JobLocks.Benchmarks.Results;
using Npgsql;

namespace JobLocks.Benchmarks.Cases;

/// <summary>How many attempts are answered in a second while somebody else holds every lock?</summary>
internal sealed class RefusedCase : ICase
{
    private static readonly IReadOnlyList<(int Callers, double LeastRatio)> Goals = [(10, 5), (50, 50)];

    public string Name => "refused";

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        await using var holder = await HoldAllAsync(bench, stop);
        var peers = bench.Peers(Name);
        try
        {
            var rows = new List<Row>();
            foreach (var (callers, leastRatio) in Goals)
            {
                Bench.Say($"{Name}: {callers} callers");
                var turns = peers.Select(peer => (Func<Task<LoadResult>>)(() => TurnAsync(bench, peer, callers, stop))).ToList();
                var results = await Rounds.InTurnAsync(bench.Effort.Rounds, turns, stop);
                for (var i = 1; i < peers.Count; i++) rows.Add(Compare(peers[i].Name, callers, leastRatio, results[0], results[i]));
            }

            return rows;
        }
        finally
        {
            foreach (var peer in peers) await peer.DisposeAsync();
        }
    }

    private static string LockName(int caller) => $"benchmark-refused-{caller}";

    private static async Task<NpgsqlConnection> HoldAllAsync(Bench bench, CancellationToken stop)
    {
        var holder = await bench.Database.OpenAsync(stop);
        await using var command = new NpgsqlCommand("SELECT pg_advisory_lock(key) FROM unnest($1) AS key", holder);
        command.Parameters.Add(new() { Value = Enumerable.Range(0, Goals.Max(static goal => goal.Callers)).Select(static caller => LockKey.Of(LockName(caller)).Value).ToArray() });
        await command.ExecuteNonQueryAsync(stop);
        return holder;
    }

    private static async Task<LoadResult> TurnAsync(Bench bench, ILockPeer peer, int callers, CancellationToken stop)
    {
        var result = await new Load(bench.Effort, stop).RunAsync(callers, caller =>
        {
            var one = peer.LockOfAll(LockName(caller));
            return async () =>
            {
                if (await one.TryTakeAsync(stop) is null) return;
                throw new WrongAnswerException();
            };
        });
        await peer.RestAsync(stop);
        return result;
    }

    private Row Compare(string peer, int callers, double leastRatio, IReadOnlyList<LoadResult> ours, IReadOnlyList<LoadResult> theirs) => new()
    {
        Case = Name,
        Peer = peer,
        Callers = callers,
        Metric = "refused attempts",
        Unit = "1/s",
        Ours = Spread.Of(ours.Select(static turn => turn.PerSecond)),
        Theirs = Spread.Of(theirs.Select(static turn => turn.PerSecond)),
        Goal = string.Equals(peer, TheirLocks.SharedName, StringComparison.Ordinal) ? Goal.RatioAtLeast(leastRatio) : null,
        IsSpoiled = ours.Any(static turn => turn.Errors.Count > 0),
        Note = Notes.Join(LoadResult.Describe(Ours.PeerName, ours), LoadResult.Describe(peer, theirs)),
    };
}
