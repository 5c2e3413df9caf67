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
internal sealed class LostPlaces(LineStatements statements, LineWatch watch, UnservedStores unserved, ILogger log)
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

        // Read anew: another process may have named the store a moment ago, and have places there for these very runs.
        var names = Blocking.Wait(store.FindNamesAsync(CancellationToken.None).AsTask());
        if (!string.Equals(store.Id, id, StringComparison.Ordinal)) return;

        Adopt(id, names, page.Runs);
        var known = Known([id, .. names.Same], page.Runs);
        var lost = page.Runs.Where(run => !known.Contains(run.Address.Run)).Select(static run => Lost(run.Address, run.Waited)).ToList();
        if (lost.Count == 0) return;

        var comesElsewhere = false;
        foreach (var (run, fate) in watch.WakeOnce(store, lost))
        {
            if (fate is RunFate.Comes or RunFate.ComesElsewhere) log.FoundWithoutPlace(Shown.Name(run.Address.Job ?? run.Address.Run), Shown.Name(id));
            comesElsewhere |= fate == RunFate.ComesElsewhere;
        }

        if (comesElsewhere) watch.HaveOthersLook(id);
    }

    /// <summary>
    /// A store that was restored in another place has another name, and so has one of which a node could not read where it is. Its runs keep their places.
    /// </summary>
    private void Adopt(string store, EarlierNames names, IReadOnlyList<(RunAddress Address, TimeSpan Waited)> runs)
    {
        string[] others = [.. names.Same, .. unserved.Names.Where(name => names.Origins.Any(origin => name.StartsWith(origin, StringComparison.Ordinal)))];
        if (others.Length == 0) return;

        foreach (var run in Ask(SweepSql.Adopt, new NpgsqlParameter<string> { TypedValue = store }, Texts(others), Runs(runs)))
            log.Adopted(Shown.Name(run), Shown.Name(store));
    }

    private HashSet<string> Known(string[] names, IReadOnlyList<(RunAddress Address, TimeSpan Waited)> runs) => Ask(EntrySql.Known, Texts(names), Runs(runs)).ToHashSet(StringComparer.Ordinal);

    private List<string> Ask(string sql, params NpgsqlParameter[] parameters) =>
        Blocking.Wait(statements.ReadAsync(sql, static row => row.GetString(0), blocks: true, CancellationToken.None, parameters).AsTask());

    private static NpgsqlParameter<string[]> Runs(IReadOnlyList<(RunAddress Address, TimeSpan Waited)> runs) => Texts([.. runs.Select(static run => run.Address.Run)]);

    private static NpgsqlParameter<string[]> Texts(string[] values) => new() { TypedValue = values };

    /// <summary>Without a place, a key and a name, of which the store needs none.</summary>
    private static WaitingRun Lost(RunAddress address, TimeSpan waited) =>
        new(Place: 0, default, "", address, IsParked: true, IsOurs: true, default) { Waited = waited };
}
