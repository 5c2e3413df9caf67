namespace JobLocks.Postgres;

/// <content>Who has what in this process.</content>
internal sealed partial class LockTable
{
    /// <summary>What is held since a time or longer.</summary>
    public List<JobLockHandle> HeldSince(DateTimeOffset since)
    {
        var held = new List<JobLockHandle>();
        foreach (var entry in _entries.Values)
        {
            if (entry.State != LockEntry.Stand.Held) continue;

            foreach (var handle in entry.Handles)
            {
                if (handle.Since <= since) held.Add(handle);
            }
        }

        return held;
    }

    /// <summary>Who in this process has one of these keys.</summary>
    public Holder? FindHolder(IEnumerable<LockKey> keys)
    {
        foreach (var key in keys)
        {
            if (_entries.TryGetValue(key, out var entry) && entry.Handles.Count > 0) return entry.Handles[0].Holder;
        }

        return null;
    }
}
