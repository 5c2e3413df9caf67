using JobLocks.Locks;

namespace JobLocks.Postgres.Locks;

/// <content>Who has what in this process.</content>
internal sealed partial class LocalLockTable
{
    /// <summary>What is held since a time or longer.</summary>
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

    /// <summary>Who in this process has one of these keys.</summary>
    public Holder? FindHolder(IEnumerable<LockKey> keys)
    {
        foreach (var key in keys)
        {
            if (_entries.TryGetValue(key, out var entry) && entry.Grants.Count > 0) return entry.Grants[0].Holder;
        }

        return null;
    }
}
