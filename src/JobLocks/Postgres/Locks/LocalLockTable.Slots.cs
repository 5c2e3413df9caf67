namespace JobLocks.Postgres.Locks;

/// <content>Limits: one request for the slots of a name at a time, since two of one session could be given the same slot.</content>
internal sealed partial class LocalLockTable
{
    private bool TryRequestSlot(AcquireRequest request, int index, LockEntry nameEntry)
    {
        if (nameEntry.IsRequestingSlot)
        {
            nameEntry.SlotWaiters.Enqueue((request, index));
            _slotWaiters++;
            return true;
        }

        var free = request.Requests[index].Slots.Select(EntryOf).Where(static entry => entry.State == LockEntryState.Free && entry.Waiters.Count == 0).ToArray();
        if (free.Length == 0) return false;

        // Each time from another one, so that processes do not all try the same slots first.
        Random.Shared.Shuffle(free);
        foreach (var entry in free) Reserve(entry, LockMode.Exclusive);
        // Only one of them will be had.
        Count -= free.Length - 1;
        nameEntry.IsRequestingSlot = true;
        _awaitedOperations++;
        Orders.Add(new(OperationCode.TakeSlot, nameEntry.Key)
        {
            Request = request,
            Index = index,
            QueueArgument = request.PrecedenceFor(index),
            Slots = [.. free.Select(static entry => entry.Key)],
        });
        return true;
    }

    private void RequestNextSlot(LockEntry nameEntry)
    {
        while (!nameEntry.IsRequestingSlot && nameEntry.SlotWaiters.TryDequeue(out var next))
        {
            _slotWaiters--;
            if (next.Request.Unanswered > 0 && !TryRequestSlot(next.Request, next.Index, nameEntry)) NoteAnswer(next.Request, next.Index, granted: false);
        }
    }
}
