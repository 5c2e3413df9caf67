namespace JobLocks.Postgres.Locks;

/// <content>Limits. There is one slot request of a name at a time: the server could grant one slot to two requests of the same session.</content>
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

        // A random order, so that processes do not all try the same slots first.
        Random.Shared.Shuffle(free);
        foreach (var entry in free) Reserve(entry, LockMode.Exclusive);
        // At most one of the reserved slots is granted.
        Count -= free.Length - 1;
        nameEntry.IsRequestingSlot = true;
        _awaitedOperations++;
        Operations.Add(new(OperationCode.AcquireSlot, nameEntry.Key)
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
