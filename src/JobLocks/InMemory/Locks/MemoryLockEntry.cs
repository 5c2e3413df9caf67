using JobLocks.Locks;

namespace JobLocks.InMemory.Locks;

/// <summary>The holders of one key, and the callers that wait for it.</summary>
internal sealed class MemoryLockEntry(LockKey key)
{
    public LockKey Key => key;

    /// <summary>One writer, or any number of readers.</summary>
    public List<LockGrant> Grants { get; } = new(1);

    /// <summary>The mode in which the key is held.</summary>
    public LockMode Mode { get; set; }

    /// <summary>The fencing token of the first grant. Readers that share the key share its token.</summary>
    public long Token { get; set; }

    /// <summary>Whether the lock was lost. It stays occupied until its handles are disposed, because their runs may still work.</summary>
    public bool IsLost { get; set; }

    /// <summary>The callers that wait, in the order of arrival.</summary>
    public LinkedList<MemoryWaiter> Waiters { get; } = [];

    public bool IsHeld => Grants.Count > 0 && !IsLost;

    public bool IsUnused => Grants.Count + Waiters.Count == 0;

    public bool IsFreeFor(LockMode mode) => Grants.Count == 0 || (mode == LockMode.Shared && Mode == LockMode.Shared && !IsLost);
}
