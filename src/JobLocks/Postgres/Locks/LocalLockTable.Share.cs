using JobLocks.Locks;

namespace JobLocks.Postgres.Locks;

/// <content>
/// How many entries of the server's lock table this process needs. The session holds at most one lock for a key, however many callers of this process
/// share it or wait for it. A key with waiters can need three entries: the lock, the waiter signal and the writer signal.
/// </content>
internal sealed partial class LocalLockTable
{
    private const int LocksOfWaitedKey = 3;

    private int _waitedKeys;
    private int _slotWaiters;

    /// <summary>The number of entries of the server's lock table that the session uses, or can use for the requests so far.</summary>
    public int Weight
    {
        get
        {
            var weight = Count;
            if (_waitedKeys + _slotWaiters == 0) return weight;

            foreach (var entry in _entries.Values)
            {
                if (entry.Waiters.Count > 0) weight += WeightOfWaiting(entry);
                if (entry.SlotWaiters.TryPeek(out var next)) weight += Math.Min(entry.SlotWaiters.Count, next.Request.Requests[next.Index].Limit);
            }

            return weight;
        }
    }

    // The exact sum takes time, and is needed only near the budget.
    private int WeightAtMost => Count + (LocksOfWaitedKey * _waitedKeys) + _slotWaiters;

    /// <summary>Whether a new request fits into the budget.</summary>
    public bool HasRoomFor(AcquireRequest request, long budget) =>
        WeightAtMost + request.Requests.Count + LocksOfWaitedKey <= budget || WeightOf(request) is var more && (more == 0 || Weight + more <= budget);

    /// <summary>
    /// The number of further entries of the server's lock table that a new request needs. A key that this process holds or waits for needs none.
    /// </summary>
    public int WeightOf(AcquireRequest request)
    {
        var weight = 0;
        foreach (var lockRequest in request.Requests)
        {
            var entry = _entries.GetValueOrDefault(lockRequest.Key);
            if (lockRequest.Limit > 1) weight += MayGetSlot(lockRequest, entry) ? 1 : 0;
            else if (entry is null or { State: LockEntryState.Free, Waiters.Count: 0 }) weight++;
            else if (request.Waits && entry.Waiters.Count == 0 && !entry.IsFreeFor(lockRequest.Mode)) weight += WeightOfWaiting(entry);
        }

        return weight;
    }

    /// <summary>
    /// Starts all unanswered requests anew, in the order of arrival, and fails those that do not fit into the budget. The budget is not known before
    /// a session is open.
    /// </summary>
    public void TrimTo(long budget, Exception failure)
    {
        var requests = Operations.Select(static op => op.Request).OfType<AcquireRequest>()
            .Concat(_entries.Values.SelectMany(static entry => entry.Waiters))
            .Concat(TakeSlotWaiters())
            .Where(static request => request.Unanswered > 0)
            .Distinct()
            .OrderBy(static request => request.Arrival)
            .ToList();
        foreach (var op in Operations.Where(static op => op.Request is not null)) UndoReservation(op);
        Operations.RemoveAll(static op => op.Request is not null);
        foreach (var request in requests.Where(static request => request.Waits)) RemoveWaiter(EntryOf(request.Requests[0].Key), request);

        foreach (var request in requests)
        {
            request.Unanswered = request.Requests.Count;
            if (!request.IsAbandoned && HasRoomFor(request, budget)) Enter(request);
            else Fail(request, failure);
        }

        foreach (var entry in _entries.Values.ToList()) Tidy(entry);
    }

    private bool MayGetSlot(LockRequest lockRequest, LockEntry? name) => name is { IsRequestingSlot: true }
        ? name.SlotWaiters.Count < lockRequest.Limit
        : lockRequest.Slots.Any(slot => !_entries.TryGetValue(slot, out var entry) || entry is { State: LockEntryState.Free, Waiters.Count: 0 });

    /// <summary>Whether a request that the server refused can wait within the budget: waiting needs more entries than asking.</summary>
    private bool HasRoomToWait(LockEntry entry, long budget) =>
        entry.Waiters.Count > 0 || WeightAtMost + LocksOfWaitedKey <= budget || Weight + WeightOfWaiting(entry) <= budget;

    /// <summary>The entries that waiting needs. The lock itself is left out if it is already counted as held or requested.</summary>
    private static int WeightOfWaiting(LockEntry entry) =>
        entry.State is LockEntryState.Held or LockEntryState.Requested ? LocksOfWaitedKey - 1 : LocksOfWaitedKey;
}
