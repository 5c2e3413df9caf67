using System.Collections.Concurrent;
using JobLocks.WaitQueue;

namespace JobLocks.Postgres.WaitQueue;

/// <summary>
/// The runs that this process has parked, in case their entries in the wait queue are lost. The table is authoritative: this copy is used only where the table
/// has no entry and the job store says that the run waits. Thread-safe.
/// </summary>
internal sealed class LocallyParkedRuns
{
    // A few megabytes. A run beyond that loses its entry number if its entry is lost.
    private const int MaxOfLastingStores = 20_000;

    private readonly ConcurrentDictionary<long, QueueEntry> _entries = new();

    public void Add(QueueEntry entry)
    {
        // No limit for a store in the memory of this process: no other process knows its runs.
        if (VolatileStore.Is(entry.Request!.Run.Store) || _entries.ContainsKey(entry.Number) || _entries.Count < MaxOfLastingStores) _entries[entry.Number] = entry;
    }

    /// <summary>The store has a new id.</summary>
    public void Rename(string oldId, string newId)
    {
        foreach (var entry in Of(oldId))
            _entries.TryUpdate(entry.Number, entry with { Request = entry.Request! with { Run = entry.Request.Run with { Store = newId } } }, entry);
    }

    /// <summary>Removes the runs of a store that is closed in this process.</summary>
    public void Forget(string store)
    {
        foreach (var entry in Of(store)) Remove(entry.Number);
    }

    public void Remove(long number) => _entries.TryRemove(number, out _);

    /// <summary>Removes an entry, unless the run was parked again after the entry was read.</summary>
    public void Remove(QueueEntry entry) => _entries.TryRemove(new(entry.Number, entry));

    /// <summary>The entries of a store, ordered by entry number.</summary>
    public IReadOnlyList<QueueEntry> Of(string store) =>
        [.. _entries.Values.Where(entry => string.Equals(entry.Request!.Run.Store, store, StringComparison.Ordinal)).OrderBy(static entry => entry.Number)];
}
