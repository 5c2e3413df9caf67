using JobLocks.Locks;

namespace JobLocks.Postgres.Locks;

/// <summary>
/// What this process holds, asks for and waits for: decides what it can by itself, and writes down what the session must be told.
/// Not thread-safe: used behind the door of the <see cref="LockDispatcher"/>.
/// </summary>
internal sealed partial class LocalLockTable(LockDispatcher dispatcher)
{
    // What the server answers where somebody stands in the line.
    private const long BehindOthers = -2;

    private readonly Dictionary<LockKey, LockEntry> _entries = [];
    private int _asks;
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
    public int Asks => Volatile.Read(ref _asks);

    /// <summary>The same, counted anew from now on.</summary>
    public int AsksOnce() => Interlocked.Exchange(ref _asks, 0);

    /// <summary>The orders so far, at most so many.</summary>
    public List<LockOperation> TakeOrders(int atMost)
    {
        var orders = Orders;
        Orders = orders.Count <= atMost ? [] : orders.GetRange(atMost, orders.Count - atMost);
        if (orders.Count > atMost) orders.RemoveRange(atMost, orders.Count - atMost);
        return orders;
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
    public void Enter(AcquireRequest acquire)
    {
        acquire.Arrival = ++_arrivals;
        if (acquire.Waits)
        {
            var entry = EntryOf(acquire.Requests[0].Key);
            if (entry.Waiting.Count > 0 || !TryAsk(acquire, 0)) StandInLine(entry, acquire);
            return;
        }

        var asked = Orders.Count;
        for (var index = 0; index < acquire.Requests.Count; index++)
        {
            // One who waits here for the plain lock is ahead of everybody but those whose turn has come in the line; for a limit, other slots
            // may be free.
            var wanted = acquire.Requests[index];
            if ((wanted.Limit > 1 || acquire.BeforeOf(index) == QueuePrecedence.HasCome || EntryOf(wanted.Key).Waiting.Count == 0) && TryAsk(acquire, index)) continue;

            var reserved = Orders.GetRange(asked, Orders.Count - asked);
            Orders.RemoveRange(asked, reserved.Count);
            foreach (var order in reserved) UnaskAndTidy(order);
            Tidy(EntryOf(wanted.Key));
            Refuse(acquire, index);
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
                Answered(op, entry, op.Result > 0 ? entry : null, token);
                break;
            case OperationCode.Join:
                entry.Joining--;
                // The take that it joined may have been refused; and no further reader may come while a writer waits.
                var shares = op.Result > 0 && entry is { State: LockEntry.Stand.Held, Mode: LockMode.Shared };
                Answered(op, entry, shares ? entry : null, entry.Token);
                if (!shares) GiveBackIfLast(entry);
                break;
            case OperationCode.TakeSlot:
                Unask(op);
                Answered(op, entry, op.Result > 0 ? EntryOf(op.Slots[(int)op.Result - 1]) : null, token);
                foreach (var slot in op.Slots) ServeOrTidy(EntryOf(slot));
                AskNextSlot(entry);
                break;
            case OperationCode.Release or OperationCode.ReleaseShared:
                Released(op, entry);
                break;
            case OperationCode.Mark:
                entry.Mark = op.Result != 0 ? LockEntry.Sign.Set : LockEntry.Sign.None;
                Unmark(entry);
                break;
            case OperationCode.Intend:
                entry.Intent = op.Result != 0 ? LockEntry.Sign.Set : LockEntry.Sign.None;
                Unmark(entry);
                break;
        }

        Tidy(entry);
    }

    /// <summary>Gives a lock back. A lost one only makes room: its session holds nothing any more.</summary>
    public void Release(LockGrant grant)
    {
        if (!_entries.TryGetValue(grant.Key, out var entry) || !entry.Grants.Remove(grant)) return;

        if (entry.State == LockEntry.Stand.Held)
        {
            GiveBackIfLast(entry, grant);
            if (grant.Written > 0 && entry.State == LockEntry.Stand.Held) dispatcher.StrikeOut(new(OperationCode.ReleaseShared, grant.Key) { Grant = grant });
        }
        else if (entry.Grants.Count == 0)
        {
            entry.State = LockEntry.Stand.Free;
            ServeOrTidy(entry);
        }
    }

    private bool TryAsk(AcquireRequest acquire, int index)
    {
        var wanted = acquire.Requests[index];
        var entry = EntryOf(wanted.Key);
        if (wanted.Limit > 1) return TryAskSlot(acquire, index, entry);
        if (!entry.IsFreeFor(wanted.Mode)) return false;

        var joins = entry.State != LockEntry.Stand.Free;
        if (joins) entry.Joining++;
        else Reserve(entry, wanted.Mode);

        acquire.IsAsked = true;
        _asks++;
        Orders.Add(new(joins ? OperationCode.Join : wanted.Mode == LockMode.Shared ? OperationCode.TakeShared : OperationCode.Take, wanted.Key) { Request = acquire, Index = index, Line = acquire.BeforeOf(index) });
        return true;
    }

    private void Reserve(LockEntry entry, LockMode mode)
    {
        entry.State = LockEntry.Stand.Asked;
        entry.Mode = mode;
        Count++;
    }

    private void Unreserve(LockEntry entry)
    {
        if (entry.State != LockEntry.Stand.Asked) return;

        entry.State = LockEntry.Stand.Free;
        Count--;
    }

    /// <summary>Takes back what an order had reserved.</summary>
    private void Unask(LockOperation op)
    {
        op.Request!.IsAsked = false;
        var entry = EntryOf(op.Key);
        if (op.Verb == OperationCode.Join)
        {
            entry.Joining--;
            return;
        }

        if (op.Verb == OperationCode.TakeSlot) entry.AsksForSlot = false;
        else Unreserve(entry);
        if (op.Slots.Count > 0) Count += op.Slots.Count - 1;
        foreach (var slot in op.Slots) Unreserve(EntryOf(slot));
    }

    private void UnaskAndTidy(LockOperation op)
    {
        Unask(op);
        Tidy(EntryOf(op.Key));
        foreach (var slot in op.Slots) Tidy(EntryOf(slot));
    }

    /// <summary>A acquire has the answer to one of its requests: the entry that it was granted, or none.</summary>
    private void Answered(LockOperation op, LockEntry asked, LockEntry? granted, long token)
    {
        var acquire = op.Request!;
        acquire.IsAsked = false;
        if (op.Result <= BehindOthers) StandBehind(acquire, op.Result);
        if (granted is not null) Grant(granted, acquire, op.Index, token);

        if (granted is null && acquire is { Waits: true, IsAbandoned: false })
        {
            if (HasRoomToWait(asked, dispatcher.Budget))
            {
                Wait(asked, acquire);
                return;
            }

            acquire.Failure = dispatcher.TooManyLocks(Weight, LocksOfWaitedKey);
        }

        LeaveLine(asked, acquire);
        Close(acquire, op.Index, granted is not null);
        Unmark(asked);
        // Further readers may share what this one has got; a writer lets them wait.
        Serve(asked);
    }

    /// <summary>Others stand in the line. One who waits here instead goes before all who come to stand there later.</summary>
    private static void StandBehind(AcquireRequest acquire, long result)
    {
        acquire.IsBehind = true;
        if (result < BehindOthers) acquire.Before = BehindOthers - result;
    }

    private void Grant(LockEntry entry, AcquireRequest acquire, int index, long token)
    {
        if (entry.State != LockEntry.Stand.Held) Count++;
        entry.State = LockEntry.Stand.Held;
        entry.Token = token;
        entry.Line = acquire.Requests[index].Key;
        var grant = new LockGrant(acquire.Requests[index], entry.Key, acquire.Holder, dispatcher.UtcNow, dispatcher, token) { Stack = acquire.Stack };
        entry.Grants.Add(grant);
        if (acquire.Requests[index].Limit > 1) dispatcher.NoteLimit(acquire.Requests[index]);
        acquire.Grants[index] = grant;
    }

    private void Close(AcquireRequest acquire, int index, bool granted)
    {
        if (!granted && acquire.Refused == AcquireRequest.Granted) acquire.Refused = index;
        if (--acquire.Open > 0) return;

        // All or none, and nothing for one who has gone.
        if (acquire.IsAbandoned || acquire.Refused != AcquireRequest.Granted || acquire.Failure is not null) GiveBack(acquire);
        Done.Add(acquire);
    }

    private void Refuse(AcquireRequest acquire, int index)
    {
        acquire.Refused = index;
        acquire.Open = 0;
        Done.Add(acquire);
    }

    private void GiveBack(AcquireRequest acquire)
    {
        for (var index = 0; index < acquire.Grants.Length; index++)
        {
            if (acquire.Grants[index] is { } grant) Release(grant);
            acquire.Grants[index] = null;
        }
    }

    private void GiveBackIfLast(LockEntry entry, LockGrant? grant = null)
    {
        if (entry.State != LockEntry.Stand.Held || entry.Grants.Count + entry.Joining > 0) return;

        entry.State = LockEntry.Stand.Free;
        Count--;
        Orders.Add(new(entry.Mode == LockMode.Shared ? OperationCode.ReleaseShared : OperationCode.Release, entry.Key) { Grant = grant, Line = (entry.Line ?? entry.Key).Value });
    }

    private LockEntry EntryOf(LockKey key)
    {
        if (!_entries.TryGetValue(key, out var entry)) _entries[key] = entry = new(key);
        return entry;
    }

    private void ServeOrTidy(LockEntry entry)
    {
        Serve(entry);
        Tidy(entry);
    }

    private void Tidy(LockEntry entry)
    {
        if (entry.IsUnused) _entries.Remove(entry.Key);
    }
}
