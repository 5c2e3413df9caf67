using JobLocks.Locks;

namespace JobLocks.Postgres.Locks;

/// <summary>
/// The locks that this process holds, requests and waits for. Decides what needs no server, and notes operations for the session. Not thread-safe:
/// used under the mutex of the <see cref="LockDispatcher"/>.
/// </summary>
internal sealed partial class LocalLockTable(LockDispatcher dispatcher)
{
    // The server's answer if wait queue entries go first.
    private const long RefusedForQueue = -2;

    private readonly Dictionary<LockKey, LockEntry> _entries = [];
    private int _awaitedOperations;
    private long _arrivals;

    /// <summary>Operations for the session, in order.</summary>
    public List<LockOperation> Operations { get; private set; } = [];

    /// <summary>Answered requests. They must be completed outside of the mutex.</summary>
    public List<AcquireRequest> Done { get; private set; } = [];

    /// <summary>The number of locks that the session holds or has requested.</summary>
    public int Count { get; private set; }

    /// <summary>The number of keys with an entry.</summary>
    public int Known => _entries.Count;

    /// <summary>
    /// The approximate number of operations whose answer a request waits for, since the last reset. It is also read without the mutex.
    /// </summary>
    public int AwaitedOperations => Volatile.Read(ref _awaitedOperations);

    /// <summary>Returns the same number, and starts to count from zero.</summary>
    public int ResetAwaitedOperations() => Interlocked.Exchange(ref _awaitedOperations, 0);

    /// <summary>Removes and returns the noted operations, in order and up to a maximum.</summary>
    public List<LockOperation> TakeOperations(int atMost)
    {
        var operations = Operations;
        Operations = operations.Count <= atMost ? [] : operations.GetRange(atMost, operations.Count - atMost);
        if (operations.Count > atMost) operations.RemoveRange(atMost, operations.Count - atMost);
        return operations;
    }

    /// <summary>Removes and returns the answered requests.</summary>
    public List<AcquireRequest> TakeDone()
    {
        if (Done.Count == 0) return [];

        var done = Done;
        Done = [];
        return done;
    }

    /// <summary>
    /// Adds a new request. If one of its locks cannot be granted, the request is refused at once, and the server is not asked for the others.
    /// </summary>
    public void Enter(AcquireRequest request)
    {
        request.Arrival = ++_arrivals;
        if (request.Waits)
        {
            var entry = EntryOf(request.Requests[0].Key);
            if (entry.Waiters.Count > 0 || !TryRequest(request, 0)) AddWaiter(entry, request);
            return;
        }

        var asked = Operations.Count;
        for (var index = 0; index < request.Requests.Count; index++)
        {
            // A waiter of this process for an exclusive or shared lock goes before all new requests except those of woken runs. With a limit, another
            // slot can be free.
            var lockRequest = request.Requests[index];
            var mayAsk = lockRequest.Limit > 1 || request.PrecedenceFor(index) == QueuePrecedence.Woken || EntryOf(lockRequest.Key).Waiters.Count == 0;
            if (mayAsk && TryRequest(request, index)) continue;

            var reserved = Operations.GetRange(asked, Operations.Count - asked);
            Operations.RemoveRange(asked, reserved.Count);
            foreach (var op in reserved) UndoReservationAndTidy(op);
            Tidy(EntryOf(lockRequest.Key));
            Refuse(request, index);
            return;
        }
    }

    /// <summary>Applies the server's answer to one operation.</summary>
    /// <param name="op">The operation, with its answer.</param>
    /// <param name="token">The fencing token of what the statement granted; 0 if there is none.</param>
    public void Answered(LockOperation op, long token)
    {
        var entry = EntryOf(op.Key);
        switch (op.Code)
        {
            case OperationCode.Acquire or OperationCode.AcquireShared:
                Unreserve(entry);
                HandleAcquire(op, entry, op.Result > 0 ? entry : null, token);
                break;
            case OperationCode.Join:
                entry.Joining--;
                // The acquire operation that this reader joined may have been refused. While a writer waits, no further reader is granted the lock.
                var shares = op.Result > 0 && entry is { State: LockEntryState.Held, Mode: LockMode.Shared };
                HandleAcquire(op, entry, shares ? entry : null, entry.Token);
                if (!shares) ReleaseIfUnused(entry);
                break;
            case OperationCode.AcquireSlot:
                UndoReservation(op);
                HandleAcquire(op, entry, op.Result > 0 ? EntryOf(op.Slots[(int)op.Result - 1]) : null, token);
                foreach (var slot in op.Slots) ServeAndTidy(EntryOf(slot));
                RequestNextSlot(entry);
                break;
            case OperationCode.Release or OperationCode.ReleaseShared:
                HandleRelease(op, entry);
                break;
            case OperationCode.SetWaiterSignal:
                entry.WaiterSignal = op.Result != 0 ? LockEntry.Signal.Set : LockEntry.Signal.None;
                ClearUnneededSignals(entry);
                break;
            case OperationCode.SetWriterSignal:
                entry.WriterSignal = op.Result != 0 ? LockEntry.Signal.Set : LockEntry.Signal.None;
                ClearUnneededSignals(entry);
                break;
        }

        Tidy(entry);
    }

    /// <summary>Releases a lock. For a lost lock, this only frees the entry: the session that held it no longer exists.</summary>
    public void Release(LockGrant grant)
    {
        if (!_entries.TryGetValue(grant.Key, out var entry) || !entry.Grants.Remove(grant)) return;

        if (entry.State == LockEntryState.Held)
        {
            ReleaseIfUnused(entry, grant);
            if (grant.Written > 0 && entry.State == LockEntryState.Held) dispatcher.DeleteReadModelRow(new(OperationCode.ReleaseShared, grant.Key) { Grant = grant });
        }
        else if (entry.Grants.Count == 0)
        {
            entry.State = LockEntryState.Free;
            ServeAndTidy(entry);
        }
    }

    private bool TryRequest(AcquireRequest request, int index)
    {
        var lockRequest = request.Requests[index];
        var entry = EntryOf(lockRequest.Key);
        if (lockRequest.Limit > 1) return TryRequestSlot(request, index, entry);
        if (!entry.IsFreeFor(lockRequest.Mode)) return false;

        var joins = entry.State != LockEntryState.Free;
        if (joins) entry.Joining++;
        else Reserve(entry, lockRequest.Mode);

        request.IsPending = true;
        _awaitedOperations++;
        var code = joins ? OperationCode.Join : lockRequest.Mode == LockMode.Shared ? OperationCode.AcquireShared : OperationCode.Acquire;
        Operations.Add(new(code, lockRequest.Key) { Request = request, Index = index, QueueArgument = request.PrecedenceFor(index) });
        return true;
    }

    private void Reserve(LockEntry entry, LockMode mode)
    {
        entry.State = LockEntryState.Requested;
        entry.Mode = mode;
        Count++;
    }

    private void Unreserve(LockEntry entry)
    {
        if (entry.State != LockEntryState.Requested) return;

        entry.State = LockEntryState.Free;
        Count--;
    }

    /// <summary>Undoes the reservations of an operation.</summary>
    private void UndoReservation(LockOperation op)
    {
        op.Request!.IsPending = false;
        var entry = EntryOf(op.Key);
        if (op.Code == OperationCode.Join)
        {
            entry.Joining--;
            return;
        }

        if (op.Code == OperationCode.AcquireSlot) entry.IsRequestingSlot = false;
        else Unreserve(entry);
        if (op.Slots.Count > 0) Count += op.Slots.Count - 1;
        foreach (var slot in op.Slots) Unreserve(EntryOf(slot));
    }

    private void UndoReservationAndTidy(LockOperation op)
    {
        UndoReservation(op);
        Tidy(EntryOf(op.Key));
        foreach (var slot in op.Slots) Tidy(EntryOf(slot));
    }

    /// <summary>Applies the answer to one lock request: the entry that was granted, or null if it was refused.</summary>
    private void HandleAcquire(LockOperation op, LockEntry asked, LockEntry? granted, long token)
    {
        var request = op.Request!;
        request.IsPending = false;
        if (op.Result <= RefusedForQueue) NoteRefusedForQueue(request, op.Result);
        if (granted is not null) Grant(granted, request, op.Index, token);

        if (granted is null && request is { Waits: true, IsAbandoned: false })
        {
            if (HasRoomToWait(asked, dispatcher.Budget))
            {
                StartWaiting(asked, request);
                return;
            }

            request.Failure = dispatcher.TooManyLocks(Weight, LocksOfWaitedKey);
        }

        RemoveWaiter(asked, request);
        NoteAnswer(request, op.Index, granted is not null);
        ClearUnneededSignals(asked);
        // Further readers can share the lock that this reader was granted. Behind a writer they keep waiting.
        ServeFirstWaiter(asked);
    }

    /// <summary>
    /// Wait queue entries go first. A request that waits in this process keeps the position that was drawn for it: it goes before all entries that
    /// are added later.
    /// </summary>
    private static void NoteRefusedForQueue(AcquireRequest request, long result)
    {
        request.WasRefusedForQueue = true;
        if (result < RefusedForQueue) request.Precedence = RefusedForQueue - result;
    }

    private void Grant(LockEntry entry, AcquireRequest request, int index, long token)
    {
        if (entry.State != LockEntryState.Held) Count++;
        entry.State = LockEntryState.Held;
        entry.Token = token;
        entry.QueueKey = request.Requests[index].Key;
        var grant = new LockGrant(request.Requests[index], entry.Key, request.Holder, dispatcher.UtcNow, dispatcher, token) { Stack = request.Stack };
        entry.Grants.Add(grant);
        if (request.Requests[index].Limit > 1) dispatcher.NoteLimit(request.Requests[index]);
        request.Grants[index] = grant;
    }

    private void NoteAnswer(AcquireRequest request, int index, bool granted)
    {
        if (!granted && request.Refused == AcquireRequest.Granted) request.Refused = index;
        if (--request.Unanswered > 0) return;

        // All or none, and no locks for a caller that stopped waiting.
        if (request.IsAbandoned || request.Refused != AcquireRequest.Granted || request.Failure is not null) ReleaseGrants(request);
        Done.Add(request);
    }

    private void Refuse(AcquireRequest request, int index)
    {
        request.Refused = index;
        request.Unanswered = 0;
        Done.Add(request);
    }

    private void ReleaseGrants(AcquireRequest request)
    {
        for (var index = 0; index < request.Grants.Length; index++)
        {
            if (request.Grants[index] is { } grant) Release(grant);
            request.Grants[index] = null;
        }
    }

    private void ReleaseIfUnused(LockEntry entry, LockGrant? grant = null)
    {
        if (entry.State != LockEntryState.Held || entry.Grants.Count + entry.Joining > 0) return;

        entry.State = LockEntryState.Free;
        Count--;
        var code = entry.Mode == LockMode.Shared ? OperationCode.ReleaseShared : OperationCode.Release;
        Operations.Add(new(code, entry.Key) { Grant = grant, QueueArgument = (entry.QueueKey ?? entry.Key).Value });
    }

    private LockEntry EntryOf(LockKey key)
    {
        if (!_entries.TryGetValue(key, out var entry)) _entries[key] = entry = new(key);
        return entry;
    }

    private void Tidy(LockEntry entry)
    {
        if (entry.IsUnused) _entries.Remove(entry.Key);
    }
}
