using System.Collections.Concurrent;

namespace JobLocks.Postgres;

/// <summary>
/// What this process holds or asks for. A session lock is re-entrant: the server would grant one key twice to one session.
/// This table is asked first and says no. Thread-safe.
/// </summary>
internal sealed class HeldLocks
{
    private readonly ConcurrentDictionary<LockKey, JobLockHandle> _handles = new();

    /// <summary>Reserves a key; false when this process has it already.</summary>
    public bool TryReserve(JobLockHandle handle) => _handles.TryAdd(handle.Key, handle);

    /// <summary>
    /// Frees a key. A lost lock stays here until its run has let go: another session of this process could be granted
    /// the key while that run still works.
    /// </summary>
    public void Free(JobLockHandle handle) => _handles.TryRemove(KeyValuePair.Create(handle.Key, handle));

    /// <summary>The handle to which a key was granted, if any.</summary>
    public JobLockHandle? Find(LockKey key) => _handles.TryGetValue(key, out var handle) && handle.IsGranted ? handle : null;

    /// <summary>All handles that still stand for a lock.</summary>
    public IReadOnlyList<JobLockHandle> Standing() =>
        [.. _handles.Values.Where(static handle => handle.IsGranted && !handle.Lost.IsCancellationRequested)];
}
