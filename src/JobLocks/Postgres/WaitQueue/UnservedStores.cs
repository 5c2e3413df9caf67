using JobLocks.Diagnostics;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Job stores that no process serves. Later runs bypass their entries, which are kept in case a process serves the store again. The entries of a store in the
/// memory of a process are removed much sooner. Used by the thread of the <see cref="WakeDispatcher"/> alone, except <see cref="RemoveEntries"/>.
/// </summary>
internal sealed class UnservedStores(PooledStatements statements, JobLocksOptions options, ILogger log)
{
    // By the clock of this process. For short times, this does not depend on the clock of the server, which may be set.
    private readonly Dictionary<string, TimeSpan> _unservedSince = new(StringComparer.Ordinal);

    /// <summary>The ids of all these stores at the last sweep.</summary>
    public IReadOnlyCollection<string> Ids => _unservedSince.Keys;

    /// <summary>
    /// Removes the entries of stores that were unserved for as long as their entries are kept. For a store in memory this is LostAfter: a live process would
    /// have opened a new session by then. If a store is served again after all, its runs get new entries.
    /// </summary>
    public void RemoveExpired()
    {
        var unserved = Blocking.Wait(statements.ReadAsync(
            SweepSql.UnservedStores, static row => (Store: row.GetString(0), UnservedFor: TimeSpan.FromSeconds(row.GetDouble(1))), blocks: true, CancellationToken.None).AsTask());
        foreach (var store in _unservedSince.Keys.Except(unserved.Select(static store => store.Store), StringComparer.Ordinal).ToList()) _unservedSince.Remove(store);
        foreach (var (store, markedFor) in unserved)
        {
            _unservedSince.TryAdd(store, BootClock.Now);
            // A process may be about to serve the store: it starts, or opens a new session.
            if (BootClock.Now - _unservedSince[store] < options.LostAfter) continue;

            // Entries are kept for longer than most processes live, so the table records since when a store is unserved.
            var keptFor = VolatileStore.Is(store) ? options.LostAfter : options.KeepUnservedFor;
            if (!VolatileStore.Is(store) && markedFor < keptFor) continue;

            RemoveUnserved(store);
            _unservedSince.Remove(store);
            log.UnservedEntriesRemoved(DisplayText.Name(store), keptFor);
        }
    }

    /// <summary>Removes the entries of a store that no process has begun to serve since the query.</summary>
    private void RemoveUnserved(string store) =>
        Blocking.Wait(statements.RunAsync(SweepSql.RemoveUnservedStore, blocks: true, CancellationToken.None, new NpgsqlParameter<string> { TypedValue = store }).AsTask());

    /// <summary>Removes the entries of a store. Waits for the server.</summary>
    public void RemoveEntries(string store) =>
        Blocking.Wait(statements.RunAsync(SweepSql.RemoveStore, blocks: true, CancellationToken.None, new NpgsqlParameter<string> { TypedValue = store }).AsTask());
}
