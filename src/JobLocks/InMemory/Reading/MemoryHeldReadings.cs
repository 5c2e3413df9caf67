using JobLocks.Locks;
using JobLocks.Primitives;

namespace JobLocks.InMemory.Reading;

/// <summary>Describes the held locks to inspection. Not thread-safe: used under the mutex of the <see cref="MemoryDispatcher"/>.</summary>
internal sealed class MemoryHeldReadings(MemoryDispatcher dispatcher, JobLocksOptions options, DateTimeOffset openedAt)
{
    /// <summary>The number that inspection shows instead of the backend of a session.</summary>
    public static int Session => Environment.ProcessId;

    /// <summary>This process.</summary>
    public LockHolder Process { get; } = new LockHolder { Backend = Session, ConnectedSince = openedAt, IsForeign = false }.Named(options.ApplicationName);

    /// <summary>All holders. The lock that is held for the longest time is the first.</summary>
    public IEnumerable<HeldLock> All => Grants.Select(ReadHeld);

    /// <summary>All grants, in the same order.</summary>
    public IEnumerable<LockGrant> Grants => dispatcher.Locks.Held.SelectMany(static entry => entry.Grants).OrderBy(static grant => grant.Since).ThenBy(static grant => grant.Key.Value);

    /// <summary>The holders of a key, or of the slots of a name.</summary>
    public IReadOnlyList<HeldLock> Of(LockKey key) => [.. Grants.Where(grant => grant.Key == key || grant.NameKey == key).Take(MemoryInspector.LargestPage).Select(ReadHeld)];

    /// <summary>The holder that holds a lock of a name for the longest time; null where the lock is free.</summary>
    public LockHolder? FirstHolderOf(LockKey nameKey) => Grants.FirstOrDefault(grant => grant.NameKey == nameKey) is { } grant ? ReadHolder(grant) : null;

    private HeldLock ReadHeld(LockGrant grant) => new(
        grant.Key,
        grant.NameKey,
        (grant.Name ?? dispatcher.Statistics.Find(grant.NameKey)?.Name) is { } name ? DisplayText.Cut(name) : null,
        grant.Mode,
        ReadHolder(grant),
        dispatcher.Statistics.UsualHold(grant.NameKey));

    private LockHolder ReadHolder(LockGrant grant) => Process with { Run = grant.Holder.Run, Store = grant.Holder.Store, Since = grant.Since, WaitingSince = grant.WaitingSince };
}
