using JobLocks.Diagnostics;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Starts runs that wait in their job store and have no entry in the wait queue: the table was emptied, or the store was restored from a dump. They ask for their locks, and enter
/// the queue again if they must wait. First, <see cref="RestoredEntries"/> has time to restore the entries. Used by the thread of the <see cref="WakeDispatcher"/> alone.
/// </summary>
internal sealed class LostEntries(WaitQueueStatements statements, WakeDispatcher watch, UnservedStores unserved, JobLocksOptions options, ILogger log)
{
    // Between two passes through a store. Each sweep reads one page.
    private static readonly TimeSpan BetweenPasses = TimeSpan.FromSeconds(10);

    private const int MostStarted = 10;

    // So long, the process that has parked a run has time to restore its entry.
    private readonly TimeSpan _leftAlone = TimeSpan.FromSeconds(3) + (2 * options.SweepInterval);

    private readonly Dictionary<string, Pass> _passes = new(StringComparer.Ordinal);

    /// <summary>Reads the next page of a store, and starts those of it that have no place.</summary>
    public void Find(IRunStore store)
    {
        var id = store.Id!;
        var pass = _passes.GetValueOrDefault(id);
        if (BootClock.Now < pass.NextAt) return;

        var page = Blocking.Wait(store.FindParkedAsync(pass.From, CancellationToken.None).AsTask());
        _passes[id] = pass with { From = page.Next, NextAt = page.Next is null ? BootClock.Now + BetweenPasses : BootClock.Now };
        if (page.Runs.Count == 0) return;

        // Read anew: another process may have named the store a moment ago, and have places there for these very runs.
        var names = Blocking.Wait(store.FindNamesAsync(CancellationToken.None).AsTask());
        if (!string.Equals(store.Id, id, StringComparison.Ordinal)) return;

        Adopt(id, names, page.Runs);
        string[] all = [id, .. names.Same];
        var lost = WithoutEntry(all, page.Runs);
        if (lost.Count == 0 || !HadTimeToBeRestored(id, pass.From)) return;

        // A few at a time, since other processes may restore entries meanwhile.
        foreach (var some in lost.OrderByDescending(static run => run.Waited).Chunk(MostStarted)) Start(store, WithoutEntry(all, some));
    }

    private void Start(IRunStore store, IEnumerable<(RunAddress Address, TimeSpan Waited)> lost)
    {
        var id = store.Id!;
        var comesElsewhere = false;
        foreach (var (run, fate) in watch.WakeOnce(store, [.. lost.Select(static run => Lost(run.Address, run.Waited))]))
        {
            if (fate is not (RunFate.Comes or RunFate.ComesElsewhere)) continue;

            log.FoundWithoutPlace(DisplayText.Name(run.Address.Job ?? run.Address.Run), DisplayText.Name(id));
            comesElsewhere |= fate == RunFate.ComesElsewhere;
            // Only a run that is started counts: a paused one is found in every pass.
            _passes[id] = _passes[id] with { LostAt = BootClock.Now };
        }

        if (comesElsewhere) watch.HaveOthersLook(id);
    }

    /// <summary>Whether the processes that know the positions have had time to restore the entries. If not, the page is read again later.</summary>
    private bool HadTimeToBeRestored(string store, string? page)
    {
        var (now, pass) = (BootClock.Now, _passes[store]);
        // Losses that follow each other within seconds belong to one accident.
        if (now - pass.LostAt > _leftAlone + BetweenPasses) pass = pass with { LostSince = now, LostAt = now };
        var hadTime = now - pass.LostSince >= _leftAlone;
        _passes[store] = hadTime ? pass : pass with { From = page, NextAt = pass.LostSince + _leftAlone };
        return hadTime;
    }

    /// <summary>
    /// A store that was restored in another place has another name, and so has one of which a node could not read where it is. Its runs keep their places.
    /// </summary>
    private void Adopt(string store, EarlierNames names, IReadOnlyList<(RunAddress Address, TimeSpan Waited)> runs)
    {
        string[] others = [.. names.Same, .. unserved.Names.Where(name => names.Origins.Any(origin => name.StartsWith(origin, StringComparison.Ordinal)))];
        if (others.Length == 0) return;

        foreach (var run in Ask(SweepSql.Adopt, new NpgsqlParameter<string> { TypedValue = store }, Texts(others), Runs(runs)))
            log.Adopted(DisplayText.Name(run), DisplayText.Name(store));
    }

    private List<(RunAddress Address, TimeSpan Waited)> WithoutEntry(string[] names, IReadOnlyList<(RunAddress Address, TimeSpan Waited)> runs)
    {
        var known = Ask(EntrySql.Known, Texts(names), Runs(runs)).ToHashSet(StringComparer.Ordinal);
        return [.. runs.Where(run => !known.Contains(run.Address.Run))];
    }

    private List<string> Ask(string sql, params NpgsqlParameter[] parameters) =>
        Blocking.Wait(statements.ReadAsync(sql, static row => row.GetString(0), blocks: true, CancellationToken.None, parameters).AsTask());

    private static NpgsqlParameter<string[]> Runs(IReadOnlyList<(RunAddress Address, TimeSpan Waited)> runs) => Texts([.. runs.Select(static run => run.Address.Run)]);

    private static NpgsqlParameter<string[]> Texts(string[] values) => new() { TypedValue = values };

    /// <summary>Without a place, a key and a name, of which the store needs none.</summary>
    private static WaitingRun Lost(RunAddress address, TimeSpan waited) =>
        new(Place: 0, default, "", address, IsParked: true, IsOurs: true, default) { Waited = waited };

    /// <summary>How far a pass through a store has come.</summary>
    /// <param name="From">Where its next page begins; null where the next pass begins.</param>
    /// <param name="NextAt">When that page is read.</param>
    /// <param name="LostSince">When the first run without an entry was met after the last accident.</param>
    /// <param name="LostAt">When the last one was met that could be started, or the first one.</param>
    private readonly record struct Pass(string? From, TimeSpan NextAt, TimeSpan LostSince, TimeSpan LostAt);
}
