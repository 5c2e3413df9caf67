using JobLocks.Locks;

namespace JobLocks.Postgres.Locks;

/// <content>
/// How much of the server's lock table this process needs. The session holds at most one lock for a key, however many callers share it or
/// wait for it in this process. A key that is waited for can need three: the lock itself, the sign that this process waits, and the sign that
/// a writer waits.
/// </content>
internal sealed partial class LocalLockTable
{
    private const int LocksOfWaitedKey = 3;

    private int _waitedKeys;
    private int _waitingForSlots;

    /// <summary>How many locks of the server's table the session has or can come to need for what was asked so far.</summary>
    public int Weight
    {
        get
        {
            var weight = Count;
            if (_waitedKeys + _waitingForSlots == 0) return weight;

            foreach (var entry in _entries.Values)
            {
                if (entry.Waiting.Count > 0) weight += WeightOfWaiting(entry);
                if (entry.WaitingForSlots.TryPeek(out var next)) weight += Math.Min(entry.WaitingForSlots.Count, next.Request.Requests[next.Index].Limit);
            }

            return weight;
        }
    }

    // Summing up the exact number takes time, and is needed near the budget only.
    private int WeightAtMost => Count + (LocksOfWaitedKey * _waitedKeys) + _waitingForSlots;

    /// <summary>Whether a new acquire can be asked for within the budget.</summary>
    public bool HasRoomFor(AcquireRequest acquire, long budget) =>
        WeightAtMost + acquire.Requests.Count + LocksOfWaitedKey <= budget || WeightOf(acquire) is var more && (more == 0 || Weight + more <= budget);

    /// <summary>How many further locks of the server's table a new acquire needs. What is held or waited for here already needs none.</summary>
    public int WeightOf(AcquireRequest acquire)
    {
        var weight = 0;
        foreach (var wanted in acquire.Requests)
        {
            var entry = _entries.GetValueOrDefault(wanted.Key);
            if (wanted.Limit > 1) weight += MayGetSlot(wanted, entry) ? 1 : 0;
            else if (entry is null or { State: LockEntry.Stand.Free, Waiting.Count: 0 }) weight++;
            else if (acquire.Waits && entry.Waiting.Count == 0 && !entry.IsFreeFor(wanted.Mode)) weight += WeightOfWaiting(entry);
        }

        return weight;
    }

    /// <summary>
    /// Asks anew for all that has no answer yet, in the order of arrival, and fails each acquire that does not fit: before a session is open the
    /// budget is not known.
    /// </summary>
    public void TrimTo(long budget, Exception failure)
    {
        var acquires = Orders.Select(static order => order.Request).OfType<AcquireRequest>()
            .Concat(_entries.Values.SelectMany(static entry => entry.Waiting))
            .Concat(TakeThoseWhoWaitForSlots())
            .Where(static acquire => acquire.Open > 0)
            .Distinct()
            .OrderBy(static acquire => acquire.Arrival)
            .ToList();
        foreach (var order in Orders.Where(static order => order.Request is not null)) Unask(order);
        Orders.RemoveAll(static order => order.Request is not null);
        foreach (var acquire in acquires.Where(static acquire => acquire.Waits)) LeaveLine(EntryOf(acquire.Requests[0].Key), acquire);

        foreach (var acquire in acquires)
        {
            acquire.Open = acquire.Requests.Count;
            if (!acquire.IsAbandoned && HasRoomFor(acquire, budget)) Enter(acquire);
            else Fail(acquire, failure);
        }

        foreach (var entry in _entries.Values.ToList()) Tidy(entry);
    }

    private bool MayGetSlot(LockRequest wanted, LockEntry? name) => name is { AsksForSlot: true }
        ? name.WaitingForSlots.Count < wanted.Limit
        : wanted.Slots.Any(slot => !_entries.TryGetValue(slot, out var entry) || entry is { State: LockEntry.Stand.Free, Waiting.Count: 0 });

    /// <summary>Whether a acquire that the server has refused can wait within the budget: that takes more than asking did.</summary>
    private bool HasRoomToWait(LockEntry entry, long budget) =>
        entry.Waiting.Count > 0 || WeightAtMost + LocksOfWaitedKey <= budget || Weight + WeightOfWaiting(entry) <= budget;

    /// <summary>Beside the lock itself, where that is counted as held or asked for.</summary>
    private static int WeightOfWaiting(LockEntry entry) =>
        entry.State is LockEntry.Stand.Held or LockEntry.Stand.Asked ? LocksOfWaitedKey - 1 : LocksOfWaitedKey;
}
