using JobLocks.Benchmarks.Measuring;
using JobLocks.Benchmarks.Peers;
using JobLocks.Benchmarks.Results;

namespace JobLocks.Benchmarks.Cases;

/// <summary>How many connections do 200 locks take that were taken at the same time?</summary>
internal sealed class ConnectionsCase : ICase
{
    private const int Locks = 200;
    private const double Most = 2;

    public string Name => "connections";

    public async Task<IReadOnlyList<Row>> RunAsync(Bench bench, CancellationToken stop)
    {
        Bench.Say(Name);
        var ours = await CountAsync(bench, bench.Ours(Name), stop);
        var rows = new List<Row>();
        foreach (var isDedicated in new[] { false, true }) rows.Add(Compare(ours, await CountAsync(bench, bench.Theirs(Name, isDedicated), stop)));

        return rows;
    }

    private static async Task<Count> CountAsync(Bench bench, ILockPeer peer, CancellationToken stop)
    {
        await using var ended = peer;
        var taken = await Task.WhenAll(Enumerable.Range(0, Locks).Select(i => Task.Run(() => TakeAsync(peer.Lock($"benchmark-held-{i}"), stop), stop)));
        var connections = await bench.Database.CountConnectionsAsync(peer.Application, stop);
        foreach (var handle in taken.OfType<IAsyncDisposable>()) await handle.DisposeAsync();

        return new(peer.Name, connections, taken.Count(static handle => handle is null));
    }

    private static async Task<IAsyncDisposable?> TakeAsync(IPeerLock one, CancellationToken stop)
    {
        try
        {
            return await one.TryTakeAsync(stop);
        }
        catch (Exception) when (!stop.IsCancellationRequested)
        {
            return null;
        }
    }

    private Row Compare(Count ours, Count theirs) => new()
    {
        Case = Name,
        Peer = theirs.Peer,
        Callers = Locks,
        Metric = "connections while held",
        Unit = "",
        Ours = Spread.Of([ours.Connections]),
        Theirs = Spread.Of([theirs.Connections]),
        Goal = string.Equals(theirs.Peer, TheirLocks.SharedName, StringComparison.Ordinal) ? Goal.OursAtMost(Most) : null,
        IsSpoiled = ours.Missed > 0,
        Note = Notes.Join(ours.Note, theirs.Note),
    };

    private sealed record Count(string Peer, long Connections, int Missed)
    {
        public string? Note => Missed == 0 ? null : $"{Peer} could not take {Missed} of them";
    }
}
