using JobLocks.Diagnostics;
using JobLocks.Inspection;
using JobLocks.Postgres;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Line;

/// <summary>
/// Runs that are parked in their store and have no place in the line: the table was emptied, or the store was restored from a dump. No process
/// would wake them, so they are started, ask for their locks, and take a new place where they must. Used by the thread of the <see cref="LineWatch"/> alone.
/// </summary>
internal sealed class LostPlaces(LineStatements statements, LineWatch watch, ILogger log)
{
    // Between two passes through a store. Each sweep reads one page.
    private static readonly TimeSpan BetweenPasses = TimeSpan.FromSeconds(10);

    private readonly Dictionary<string, (string? From, TimeSpan NextAt)> _passes = new(StringComparer.Ordinal);

    /// <summary>Reads the next page of a store, and starts those of it that have no place.</summary>
    public void Find(IRunStore store)
    {
        var id = store.Id!;
        var pass = _passes.GetValueOrDefault(id);
        if (pass.From is null && BootClock.Now < pass.NextAt) return;

        var page = Blocking.Wait(store.FindParkedAsync(pass.From, CancellationToken.None).AsTask());
        _passes[id] = (page.Next, BootClock.Now + BetweenPasses);
        if (page.Runs.Count == 0) return;

        var known = Blocking.Wait(statements.ReadAsync(
            EntrySql.Known,
            static row => row.GetString(0),
            blocks: true,
            CancellationToken.None,
            new NpgsqlParameter<string> { TypedValue = id },
            new NpgsqlParameter<string[]> { TypedValue = [.. page.Runs.Select(static run => run.Address.Run)] }).AsTask()).ToHashSet(StringComparer.Ordinal);
        var lost = page.Runs.Where(run => !known.Contains(run.Address.Run)).Select(static run => Lost(run.Address, run.Waited)).ToList();
        if (lost.Count == 0) return;

        foreach (var (run, fate) in watch.FatesOf(lost, store.WakeAsync))
        {
            if (fate == RunFate.Comes) log.FoundWithoutPlace(Shown.Name(run.Address.Job ?? run.Address.Run), Shown.Name(id));
        }
    }

    /// <summary>Without a place, a key and a name, of which the store needs none.</summary>
    private static WaitingRun Lost(RunAddress address, TimeSpan waited) =>
        new(Place: 0, default, "", address, IsParked: true, IsOurs: true, default) { Waited = waited };
}
