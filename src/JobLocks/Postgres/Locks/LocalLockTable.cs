using JobLocks.Locks;

namespace JobLocks.Postgres.Locks;

/// <summary>
/// What this process holds, asks for and waits for: decides what it can by itself, and writes down what the session must be told.
/// Not thread-safe: used behind the door of the <see cref="LockDispatcher"/>.
/// </summary>
internal sealed partial class LocalLockTable(LockDispatcher dispatcher)
{
    // What the server answers where somebody stands in the line.
    private const long RefusedForQueue = -2;

    private readonly Dictionary<LockKey, LockEntry> _entries = [];
    private int _awaitedOperations;
    private long _arrivals;

    /// <summary>What the session must be told, in this order.</summary>
    public List<LockOperation> Orders { get; private set; } = [];

    /// <summary>Claims that were answered: to be completed outside of the door.</summary>
    public List<AcquireRequest> Done { get; private set; } = [];

    /// <summary>How many locks the session has or is asked for.</summary>
    public int Count { get; private set; }

    /// <summary>How many keys it remembers anything of.</summary>
    public int Known => _entries.Count;

    /// <summary>How many of the orders somebody waits for, about: it is read without the door as well.</summary>
    public int AwaitedOperations => Volatile.Read(ref _awaitedOperations);

    /// <summary>The same, counted anew from now on.</summary>
    public int ResetAwaitedOperations() => Interlocked.Exchange(ref _awaitedOperations, 0);

    /// <summary>The orders so far, at most so many.</summary>
    public List<LockOperation> TakeOrders(int atMost)
    {
        var operations = Orders;
        Orders = operations.Count <= atMost ? [] : operations.GetRange(atMost, operations.Count - atMost);
        if (operations.Count > atMost) operations.RemoveRange(atMost, operations.Count - atMost);
        return operations;
    }

    /// <summary>The answered acquires so far.</summary>
    public List<AcquireRequest> TakeDone()
    {
        if (Done.Count == 0) return [];

        var done = Done;
        Done = [];
        return done;
    }

    /// <summary>Puts a new acquire: where one of its locks cannot be had it is refused at once, and nothing is asked.</summary>
    public void Enter(AcquireRequest request)
    {
        request.Arrival = ++_arrivals;
        if (request.Waits)
        {
            var entry = EntryOf(request.Requests[0].Key);
            if (entry.Waiters.Count > 0 || !TryRequest(request, 0)) AddWaiter(entry, request);
            return;
        }

        var asked = Orders.Count;
        for (var index = 0; index < request.Requests.Count; index++)
        {
            // One who waits here for the plain lock is ahead of everybody but those whose turn has come in the line; for a limit, other slots
            // may be free.
            var lockRequest = request.Requests[index];
            var mayAsk = lockRequest.Limit > 1 || request.PrecedenceFor(index) == QueuePrecedence.Woken || EntryOf(lockRequest.Key).Waiters.Count == 0;
            if (mayAsk && TryRequest(request, index)) continue;

            var reserved = Orders.GetRange(asked, Orders.Count - asked);
            Orders.RemoveRange(asked, reserved.Count);
            foreach (var op in reserved) UndoReservationAndTidy(op);
            Tidy(EntryOf(lockRequest.Key));
            Refuse(request, index);
            return;
        }
    }

    /// <summary>Takes in what the server answered to one order.</summary>
    /// <param name="op">The order, with its answer.</param>
    /// <param name="token">The fencing token of what its statement granted; 0 for none.</param>
    public void Answered(LockOperation op, long token)
    {
        var entry = EntryOf(op.Key);
        switch (op.Verb)
        {
            case OperationCode.Take or OperationCode.TakeShared:
                Unreserve(entry);
                HandleAcquire(op, entry, op.Result > 0 ? entry : null, token);
                break;
            case OperationCode.Join:
                entry.Joining--;
                // The take that it joined may have been refused; and no further reader may come while a writer waits.
                var shares = op.Result > 0 && entry is { State: LockEntryState.Held, Mode: LockMode.Shared };
                HandleAcquire(op, entry, shares ? entry : null, entry.Token);
                if (!shares) ReleaseIfUnused(entry);
                break;
            case OperationCode.TakeSlot:
                UndoReservation(op);
                HandleAcquire(op, entry, op.Result > 0 ? EntryOf(op.Slots[(int)op.Result - 1]) : null, token);
                foreach (var slot in op.Slots) ServeAndTidy(EntryOf(slot));
                RequestNextSlot(entry);
                break;
            case OperationCode.Release or OperationCode.ReleaseShared:
                HandleRelease(op, entry);
                break;
            case OperationCode.Mark:
                entry.WaiterSignal = op.Result != 0 ? LockEntry.Signal.Set : LockEntry.Signal.None;
                ClearUnneededSignals(entry);
                break;
            case OperationCode.Intend:
                entry.WriterSignal = op.Result != 0 ? LockEntry.Signal.Set : LockEntry.Signal.None;
                ClearUnneededSignals(entry);
                break;
        }

        Tidy(entry);
    }

    /// <summary>Gives a lock back. A lost one only makes room: its session holds nothing any more.</summary>
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
        var code = joins ? OperationCode.Join : lockRequest.Mode == LockMode.Shared ? OperationCode.TakeShared : OperationCode.Take;
        Orders.Add(new(code, lockRequest.Key) { Request = request, Index = index, QueueArgument = request.PrecedenceFor(index) });
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

    /// <summary>Takes back what an order had reserved.</summary>
    private void UndoReservation(LockOperation op)
    {
        op.Request!.IsPending = false;
        var entry = EntryOf(op.Key);
        if (op.Verb == OperationCode.Join)
        {
            entry.Joining--;
            return;
        }

        if (op.Verb == OperationCode.TakeSlot) entry.IsRequestingSlot = false;
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

    /// <summary>A acquire has the answer to one of its requests: the entry that it was granted, or none.</summary>
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
        // Further readers may share what this one has got; a writer lets them wait.
        ServeFirstWaiter(asked);
    }

    /// <summary>Others stand in the line. One who waits here instead goes before all who come to stand there later.</summary>
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

        // All or none, and nothing for one who has gone.
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
        Orders.Add(new(code, entry.Key) { Grant = grant, QueueArgument = (entry.QueueKey ?? entry.Key).Value });
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
