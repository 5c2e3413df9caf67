using JobLocks.Diagnostics;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;
using Npgsql;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// Job stores that no process serves. Their places let all others past, and are kept in case a process comes back. Those of a store in the memory of a
/// process are removed much sooner. Used by the thread of the <see cref="WakeDispatcher"/> alone, but for <see cref="Bury"/>.
/// </summary>
internal sealed class UnservedStores(WaitQueueStatements statements, JobLocksOptions options, ILogger log)
{
    // By this process. After a time that is short, the clock of the server need not be believed.
    private readonly Dictionary<string, TimeSpan> _unservedSince = new(StringComparer.Ordinal);

    /// <summary>All of them, as of the last look.</summary>
    public IReadOnlyCollection<string> Names => _unservedSince.Keys;

    /// <summary>
    /// Removes the places of stores that were not served all the time that they are kept for. For a store in memory, that is so long that its process
    /// cannot have been looking for a new session meanwhile. Where a store comes back after all, its runs find their way into the line again.
    /// </summary>
    public void BuryOld()
    {
        var unserved = Blocking.Wait(statements.ReadAsync(
            SweepSql.UnservedStores, static row => (Store: row.GetString(0), For: TimeSpan.FromSeconds(row.GetDouble(1))), blocks: true, CancellationToken.None).AsTask());
        foreach (var store in _unservedSince.Keys.Except(unserved.Select(static of => of.Store), StringComparer.Ordinal).ToList()) _unservedSince.Remove(store);
        foreach (var (store, seenFor) in unserved)
        {
            _unservedSince.TryAdd(store, BootClock.Now);
            // A process of the store may be about to start, or has lost its session: so long, it has the time to show the store.
            if (BootClock.Now - _unservedSince[store] < options.LostAfter) continue;

            // No process lives as long as the entries of most stores are kept, so the wait queue itself has their time.
            var kept = VolatileStore.Is(store) ? options.LostAfter : options.KeepUnservedFor;
            if (!VolatileStore.Is(store) && seenFor < kept) continue;

            BuryUnserved(store);
            _unservedSince.Remove(store);
            log.Buried(DisplayText.Name(store), kept);
        }
    }

    /// <summary>The same, unless a process has begun to serve the store since the look.</summary>
    private void BuryUnserved(string store) =>
        Blocking.Wait(statements.RunAsync(SweepSql.BuryUnserved, blocks: true, CancellationToken.None, new NpgsqlParameter<string> { TypedValue = store }).AsTask());

    /// <summary>Removes the places of a store. Waits for the server.</summary>
    public void Bury(string store) =>
        Blocking.Wait(statements.RunAsync(SweepSql.Bury, blocks: true, CancellationToken.None, new NpgsqlParameter<string> { TypedValue = store }).AsTask());
}
