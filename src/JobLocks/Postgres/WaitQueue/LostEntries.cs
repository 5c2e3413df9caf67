using JobLocks.Diagnostics;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Starts runs that wait in their job store and have no entry in the wait queue: the table was emptied, or the store was restored from a dump. The runs ask for
/// their locks, and are enqueued again if they must wait. Before that, <see cref="RestoredEntries"/> has time to restore the entries. Used by the thread of the
/// <see cref="WakeDispatcher"/> alone.
/// </summary>
internal sealed class LostEntries(PooledStatements statements, RunWaker waker, UnservedStores unserved, JobLocksOptions options, ILogger log)
{
    // Between two passes through a store. Each sweep reads one page.
    private static readonly TimeSpan PassInterval = TimeSpan.FromSeconds(10);

    // Each process reads the id of a store again every five seconds. Two processes with two ids for one store agree on one by then.
    private static readonly TimeSpan AgreementTime = TimeSpan.FromSeconds(11);

    private const int MaxStartedAtOnce = 10;

    // The time in which the process that has parked a run can restore its entry.
    private readonly TimeSpan _restoreTime = TimeSpan.FromSeconds(3) + (2 * options.SweepInterval);

    private readonly Dictionary<string, Pass> _passes = new(StringComparer.Ordinal);

    /// <summary>Reads the next page of a store, and starts its runs that have no entry.</summary>
    public void StartRunsWithoutEntry(IRunStore store)
    {
        var id = store.Id!;
        if (!_passes.TryGetValue(id, out var pass)) pass = new() { FirstAt = BootClock.Now };
        if (BootClock.Now < pass.NextAt) return;

        var page = Blocking.Wait(store.FindParkedAsync(pass.From, CancellationToken.None).AsTask());
        _passes[id] = pass with { From = page.Next, NextAt = page.Next is null ? BootClock.Now + PassInterval : BootClock.Now };
        if (page.Runs.Count == 0) return;

        // Read again: another process may have renamed the store a moment ago, and have entries under that id for these runs.
        var others = Blocking.Wait(store.FindOtherIdsAsync(CancellationToken.None).AsTask());
        if (!string.Equals(store.Id, id, StringComparison.Ordinal)) return;

        AdoptEntries(id, others, page.Runs);
        string[] all = [id, .. others.Aliases];
        var lost = WithoutEntry(all, page.Runs);
        if (lost.Count == 0 || !TryPassRestoreDelay(id, pass.From)) return;

        // Few at a time, since other processes may restore entries in the meantime.
        foreach (var chunk in lost.OrderByDescending(static run => run.Waited).Chunk(MaxStartedAtOnce)) StartRuns(store, WithoutEntry(all, chunk));
    }

    private void StartRuns(IRunStore store, IEnumerable<(RunAddress Address, TimeSpan Waited)> lost)
    {
        var id = store.Id!;
        var startsElsewhere = false;
        foreach (var (run, state) in waker.Calls.WakeOnce(store, [.. lost.Select(static run => ToWaitingRun(run.Address, run.Waited))], out _))
        {
            if (state is not (ParkedRunState.Starting or ParkedRunState.StartingAnywhere)) continue;

            log.StartedWithoutEntry(DisplayText.Name(run.Address.Job ?? run.Address.Run), DisplayText.Name(id));
            startsElsewhere |= state == ParkedRunState.StartingAnywhere;
            // Only a run that is started counts: a paused run is found in every pass.
            _passes[id] = _passes[id] with { LostAt = BootClock.Now };
        }

        if (startsElsewhere) waker.NotifyOtherProcesses(id);
    }

    /// <summary>
    /// Whether the processes that have parked the runs have had time to restore the entries, and all processes to use the same id of the store. If not, the
    /// page is read again later.
    /// </summary>
    private bool TryPassRestoreDelay(string store, string? page)
    {
        var (now, pass) = (BootClock.Now, _passes[store]);
        // Losses that follow each other within this time have one cause, and the delay counts from the first of them.
        if (now - pass.LostAt > _restoreTime + PassInterval) pass = pass with { LostSince = now, LostAt = now };
        var startsAt = pass.LostSince + _restoreTime;
        if (startsAt < pass.FirstAt + AgreementTime) startsAt = pass.FirstAt + AgreementTime;
        _passes[store] = now >= startsAt ? pass : pass with { From = page, NextAt = startsAt };
        return now >= startsAt;
    }

    /// <summary>
    /// Moves entries to the current id of the store. A store that was restored elsewhere has a new id, and so has one whose location a node could not
    /// read. The runs keep their entry numbers.
    /// </summary>
    private void AdoptEntries(string store, OtherStoreIds others, IReadOnlyList<(RunAddress Address, TimeSpan Waited)> runs)
    {
        string[] ids = [.. others.Aliases, .. unserved.Ids.Where(id => others.OriginPrefixes.Any(origin => id.StartsWith(origin, StringComparison.Ordinal)))];
        if (ids.Length == 0) return;

        foreach (var run in ReadRuns(SweepSql.Adopt, new NpgsqlParameter<string> { TypedValue = store }, Texts(ids), Runs(runs)))
            log.Adopted(DisplayText.Name(run), DisplayText.Name(store));
    }

    private List<(RunAddress Address, TimeSpan Waited)> WithoutEntry(string[] ids, IReadOnlyList<(RunAddress Address, TimeSpan Waited)> runs)
    {
        var known = ReadRuns(EntrySql.RunsWithEntry, Texts(ids), Runs(runs)).ToHashSet(StringComparer.Ordinal);
        return [.. runs.Where(run => !known.Contains(run.Address.Run))];
    }

    private List<string> ReadRuns(string sql, params NpgsqlParameter[] parameters) =>
        Blocking.Wait(statements.ReadAsync(sql, static row => row.GetString(0), blocks: true, CancellationToken.None, parameters).AsTask());

    private static NpgsqlParameter<string[]> Runs(IReadOnlyList<(RunAddress Address, TimeSpan Waited)> runs) => Texts([.. runs.Select(static run => run.Address.Run)]);

    private static NpgsqlParameter<string[]> Texts(string[] values) => new() { TypedValue = values };

    /// <summary>A run without entry number, key and lock name, since its store needs none of them.</summary>
    private static WaitingRun ToWaitingRun(RunAddress address, TimeSpan waited) =>
        new(Number: 0, default, "", address, IsParked: true, IsDeliveryClaimed: false, default) { Waited = waited };

    /// <summary>The state of a pass through a store.</summary>
    /// <param name="From">Where the next page begins; null at the beginning of a pass.</param>
    /// <param name="NextAt">When that page is read.</param>
    /// <param name="LostSince">When the first run of the current losses was found. The delay counts from it.</param>
    /// <param name="LostAt">When the last run without an entry was found and started. Until one was started: equal to <paramref name="LostSince"/>.</param>
    private readonly record struct Pass(string? From, TimeSpan NextAt, TimeSpan LostSince, TimeSpan LostAt)
    {
        /// <summary>When the store was read first by this process under this id.</summary>
        public TimeSpan FirstAt { get; init; }
    }
}
