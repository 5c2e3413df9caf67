namespace JobLocks.Postgres.Locks;

/// <content>Limits: one request for the slots of a name at a time, since two of one session could be given the same slot.</content>
internal sealed partial class LocalLockTable
{
    private bool TryAskSlot(AcquireRequest acquire, int index, LockEntry name)
    {
        if (name.AsksForSlot)
        {
            name.WaitingForSlots.Enqueue((acquire, index));
            _waitingForSlots++;
            return true;
        }

        var free = acquire.Requests[index].Slots.Select(EntryOf).Where(static entry => entry.State == LockEntry.Stand.Free && entry.Waiting.Count == 0).ToArray();
        if (free.Length == 0) return false;

        // Each time from another one, so that processes do not all try the same slots first.
        Random.Shared.Shuffle(free);
        foreach (var entry in free) Reserve(entry, LockMode.Exclusive);
        // Only one of them will be had.
        Count -= free.Length - 1;
        name.AsksForSlot = true;
        _asks++;
        Orders.Add(new(OperationCode.TakeSlot, name.Key) { Request = acquire, Index = index, Line = acquire.BeforeOf(index), Slots = [.. free.Select(static entry => entry.Key)] });
        return true;
    }

    private void AskNextSlot(LockEntry name)
    {
        while (!name.AsksForSlot && name.WaitingForSlots.TryDequeue(out var next))
        {
            _waitingForSlots--;
            if (next.Request.Open > 0 && !TryAskSlot(next.Request, next.Index, name)) Close(next.Request, next.Index, granted: false);
        }
    }
}
