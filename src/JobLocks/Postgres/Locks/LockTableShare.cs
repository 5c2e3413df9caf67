using JobLocks.Locks;

namespace JobLocks.Postgres.Locks;

/// <summary>
/// How many entries of the server's lock table this process needs, and how many it may use. The session holds at most one lock for a key, however many
/// callers of this process share it or wait for it. A key with waiters can need three entries: the lock, the waiter signal and the writer signal.
/// Not thread-safe: used under the mutex of the <see cref="LockDispatcher"/>.
/// </summary>
/// <param name="entries">The entries of this process.</param>
/// <param name="server">The server, for messages.</param>
internal sealed class LockTableShare(LockEntries entries, string server)
{
    private const int LocksOfWaitedKey = 3;

    /// <summary>How many entries of the server's lock table this process can use; without limit before a session is open.</summary>
    public long Budget { get; set; } = long.MaxValue;

    /// <summary>The number of entries of the server's lock table that the session uses, or can use for the requests so far.</summary>
    public int NeededEntries
    {
        get
        {
            var needed = entries.Count;
            if (entries.WaitedKeys + entries.SlotWaiters == 0) return needed;

            foreach (var entry in entries.All)
            {
                if (entry.Waiters.Count > 0) needed += EntriesNeededToWait(entry);
                if (entry.SlotWaiters.TryPeek(out var next)) needed += Math.Min(entry.SlotWaiters.Count, next.Request.Requests[next.Index].Limit);
            }

            return needed;
        }
    }

    /// <summary>Whether the requests so far need more than the budget.</summary>
    public bool IsExceeded => NeededEntries > Budget;

    // The exact sum takes time, and is needed only near the budget.
    private int NeededEntriesAtMost => entries.Count + (LocksOfWaitedKey * entries.WaitedKeys) + entries.SlotWaiters;

    /// <summary>Whether a new request fits into the budget.</summary>
    public bool HasRoomFor(AcquireRequest request) =>
        NeededEntriesAtMost + request.Requests.Count + LocksOfWaitedKey <= Budget || EntriesNeededFor(request) is var more && (more == 0 || NeededEntries + more <= Budget);

    /// <summary>Whether a request that the server refused can wait within the budget: waiting needs more entries than asking.</summary>
    public bool HasRoomToWait(LockEntry entry) =>
        entry.Waiters.Count > 0 || NeededEntriesAtMost + LocksOfWaitedKey <= Budget || NeededEntries + EntriesNeededToWait(entry) <= Budget;

    /// <summary>The error for a request that does not fit.</summary>
    public JobLocksUnavailableException Exceeded(AcquireRequest request) => Exceeded(EntriesNeededFor(request));

    /// <summary>The error for a request that the server refused, and that has no room to wait.</summary>
    public JobLocksUnavailableException ExceededByWaiting() => Exceeded(LocksOfWaitedKey);

    /// <summary>The error for requests that were noted before the budget was known.</summary>
    public JobLocksUnavailableException Exceeded() => Exceeded(more: 0);

    /// <summary>
    /// The number of further entries of the server's lock table that a new request needs. A key that this process holds or waits for needs none.
    /// </summary>
    private int EntriesNeededFor(AcquireRequest request)
    {
        var needed = 0;
        foreach (var lockRequest in request.Requests)
        {
            var entry = entries.Find(lockRequest.Key);
            if (lockRequest.Limit > 1) needed += MayGetSlot(lockRequest, entry) ? 1 : 0;
            else if (entry is null or { State: LockEntryState.Free, Waiters.Count: 0 }) needed++;
            else if (request.Waits && entry.Waiters.Count == 0 && !entry.IsFreeFor(lockRequest.Mode)) needed += EntriesNeededToWait(entry);
        }

        return needed;
    }

    private bool MayGetSlot(LockRequest lockRequest, LockEntry? name) => name is { IsRequestingSlot: true }
        ? name.SlotWaiters.Count < lockRequest.Limit
        : lockRequest.Slots.Any(slot => entries.Find(slot) is null or { State: LockEntryState.Free, Waiters.Count: 0 });

    /// <summary>The entries that waiting needs. The lock itself is left out if it is already counted as held or requested.</summary>
    private static int EntriesNeededToWait(LockEntry entry) =>
        entry.State is LockEntryState.Held or LockEntryState.Requested ? LocksOfWaitedKey - 1 : LocksOfWaitedKey;

    private JobLocksUnavailableException Exceeded(int more) => new(
        $"This process needs {NeededEntries} locks of the lock table of PostgreSQL at {server}, and {more} more for this request. Its share is {Budget}, "
        + "a quarter of that table: a full one would keep every client from connecting. Raise max_locks_per_transaction there, or hold and wait for fewer keys at once.");
}
