using JobLocks.Locks;

namespace JobLocks.Postgres.Locks;

/// <content>The holders in this process.</content>
internal sealed partial class LocalLockTable
{
    /// <summary>The locks that were granted at a time or before it, and are not lost.</summary>
    public List<LockGrant> HeldSince(DateTimeOffset since)
    {
        var held = new List<LockGrant>();
        foreach (var entry in _entries.Values)
        {
            if (entry.State != LockEntryState.Held) continue;

            foreach (var grant in entry.Grants)
            {
                if (grant.Since <= since) held.Add(grant);
            }
        }

        return held;
    }

    /// <summary>The holder of one of these keys in this process; null if there is none.</summary>
    public Holder? FindHolder(IEnumerable<LockKey> keys)
    {
        foreach (var key in keys)
        {
            if (_entries.TryGetValue(key, out var entry) && entry.Grants.Count > 0) return entry.Grants[0].Holder;
        }

        return null;
    }
}
