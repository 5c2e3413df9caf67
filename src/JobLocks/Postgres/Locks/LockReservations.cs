using JobLocks.Locks;

namespace JobLocks.Postgres.Locks;

/// <summary>
/// Reserves entries for requests, and notes the operations that ask the server for them. An entry is reserved from the operation until its answer, so
/// that no second request of this process asks for the same lock: the server would grant it twice to one session. For the same reason there is one slot
/// request of a name at a time. Not thread-safe: used under the mutex of the <see cref="LockDispatcher"/>.
/// </summary>
internal sealed class LockReservations(LockEntries entries, LockTableOutput output)
{
    /// <summary>Asks the server for one lock of a request.</summary>
    /// <returns>Whether the server is asked, or will be asked after another slot request; false if a lock of this process conflicts.</returns>
    public bool TryRequest(AcquireRequest request, int index)
    {
        var lockRequest = request.Requests[index];
        var entry = entries.Of(lockRequest.Key);
        if (lockRequest.Limit > 1) return TryRequestSlot(request, index, entry);
        if (!entry.IsFreeFor(lockRequest.Mode)) return false;

        var joins = entry.State != LockEntryState.Free;
        if (joins) entry.Joining++;
        else entries.Reserve(entry, lockRequest.Mode);

        request.IsPending = true;
        var code = joins ? OperationCode.Join : lockRequest.Mode == LockMode.Shared ? OperationCode.AcquireShared : OperationCode.Acquire;
        output.AddAwaited(new(code, lockRequest.Key) { Request = request, Index = index, QueueArgument = request.EntryLimitFor(index) });
        return true;
    }

    /// <summary>Asks the server for a slot, or adds the request to those that wait until another slot request of the name is answered.</summary>
    /// <returns>False if this process holds or requests every slot.</returns>
    public bool TryRequestSlot(AcquireRequest request, int index, LockEntry nameEntry)
    {
        if (nameEntry.IsRequestingSlot)
        {
            entries.AddSlotWaiter(nameEntry, request, index);
            return true;
        }

        var free = request.Requests[index].Slots.Select(entries.Of).Where(static entry => entry.State == LockEntryState.Free && entry.Waiters.Count == 0).ToArray();
        if (free.Length == 0) return false;

        // A random order, so that processes do not all try the same slots first.
        Random.Shared.Shuffle(free);
        entries.ReserveOneOf(free);
        nameEntry.IsRequestingSlot = true;
        output.AddAwaited(new(OperationCode.AcquireSlot, nameEntry.Key)
        {
            Request = request,
            Index = index,
            QueueArgument = request.EntryLimitFor(index),
            Slots = [.. free.Select(static entry => entry.Key)],
        });
        return true;
    }

    /// <summary>Undoes the reservations of an operation: it is answered, or it is not sent.</summary>
    public void Undo(LockOperation op)
    {
        op.Request!.IsPending = false;
        var entry = entries.Of(op.Key);
        switch (op.Code)
        {
            case OperationCode.Join:
                entry.Joining--;
                break;
            case OperationCode.AcquireSlot:
                entry.IsRequestingSlot = false;
                entries.UnreserveOneOf([.. op.Slots.Select(entries.Of)]);
                break;
            default:
                entries.Unreserve(entry);
                break;
        }
    }

    /// <summary>Undoes the reservations of an operation that is not sent, and removes entries that it alone used.</summary>
    public void UndoAndTidy(LockOperation op)
    {
        Undo(op);
        entries.Tidy(entries.Of(op.Key));
        foreach (var slot in op.Slots) entries.Tidy(entries.Of(slot));
    }

    /// <summary>Notes the release of a lock that no caller of this process uses any more.</summary>
    /// <param name="entry">The entry of the lock.</param>
    /// <param name="grant">The last grant, which is released; null if the lock was never given to a caller.</param>
    public void ReleaseIfUnused(LockEntry entry, LockGrant? grant = null)
    {
        if (entry.State != LockEntryState.Held || entry.Grants.Count + entry.Joining > 0) return;

        entries.Free(entry);
        var code = entry.Mode == LockMode.Shared ? OperationCode.ReleaseShared : OperationCode.Release;
        output.Operations.Add(new(code, entry.Key) { Grant = grant, QueueArgument = (entry.QueueKey ?? entry.Key).Value });
    }
}
