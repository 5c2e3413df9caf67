using JobLocks.Gate;

namespace JobLocks.Postgres;

/// <summary>
/// What this process holds, asks for and waits for: decides what it can by itself, and writes down what the session must be told.
/// Not thread-safe: used behind the door of the <see cref="LockDesk"/>.
/// </summary>
internal sealed partial class LockTable(LockDesk desk)
{
    // What the server answers where somebody stands in the line.
    private const long BehindOthers = -2;

    private readonly Dictionary<LockKey, LockEntry> _entries = [];
    private int _asks;
    private long _arrivals;

    /// <summary>What the session must be told, in this order.</summary>
    public List<LockOp> Orders { get; private set; } = [];

    /// <summary>Claims that were answered: to be completed outside of the door.</summary>
    public List<Claim> Done { get; private set; } = [];

    /// <summary>How many locks the session has or is asked for.</summary>
    public int Count { get; private set; }

    /// <summary>How many keys it remembers anything of.</summary>
    public int Known => _entries.Count;

    /// <summary>How many of the orders somebody waits for, about: it is read without the door as well.</summary>
    public int Asks => Volatile.Read(ref _asks);

    /// <summary>The same, counted anew from now on.</summary>
    public int AsksOnce() => Interlocked.Exchange(ref _asks, 0);

    /// <summary>The orders so far, at most so many.</summary>
    public List<LockOp> TakeOrders(int atMost)
    {
        var orders = Orders;
        Orders = orders.Count <= atMost ? [] : orders.GetRange(atMost, orders.Count - atMost);
        if (orders.Count > atMost) orders.RemoveRange(atMost, orders.Count - atMost);
        return orders;
    }

    /// <summary>The answered claims so far.</summary>
    public List<Claim> TakeDone()
    {
        if (Done.Count == 0) return [];

        var done = Done;
        Done = [];
        return done;
    }

    /// <summary>Puts a new claim: where one of its locks cannot be had it is refused at once, and nothing is asked.</summary>
    public void Enter(Claim claim)
    {
        claim.Arrival = ++_arrivals;
        if (claim.Waits)
        {
            var entry = EntryOf(claim.Wishes[0].Key);
            if (entry.Waiting.Count > 0 || !TryAsk(claim, 0)) StandInLine(entry, claim);
            return;
        }

        var asked = Orders.Count;
        for (var wish = 0; wish < claim.Wishes.Count; wish++)
        {
            // One who waits here for the plain lock is ahead of everybody but those whose turn has come in the line; for a limit, other slots
            // may be free.
            var wanted = claim.Wishes[wish];
            if ((wanted.Limit > 1 || claim.BeforeOf(wish) == Turn.HasCome || EntryOf(wanted.Key).Waiting.Count == 0) && TryAsk(claim, wish)) continue;

            var reserved = Orders.GetRange(asked, Orders.Count - asked);
            Orders.RemoveRange(asked, reserved.Count);
            foreach (var order in reserved) UnaskAndTidy(order);
            Tidy(EntryOf(wanted.Key));
            Refuse(claim, wish);
            return;
        }
    }

    /// <summary>Takes in what the server answered to one order.</summary>
    /// <param name="op">The order, with its answer.</param>
    /// <param name="token">The fencing token of what its statement granted; 0 for none.</param>
    public void Answered(LockOp op, long token)
    {
        var entry = EntryOf(op.Key);
        switch (op.Verb)
        {
            case LockVerb.Take or LockVerb.TakeShared:
                Unreserve(entry);
                Answered(op, entry, op.Result > 0 ? entry : null, token);
                break;
            case LockVerb.Join:
                entry.Joining--;
                // The take that it joined may have been refused; and no further reader may come while a writer waits.
                var shares = op.Result > 0 && entry is { State: LockEntry.Stand.Held, Mode: LockMode.Shared };
                Answered(op, entry, shares ? entry : null, entry.Token);
                if (!shares) GiveBackIfLast(entry);
                break;
            case LockVerb.TakeSlot:
                Unask(op);
                Answered(op, entry, op.Result > 0 ? EntryOf(op.Slots[(int)op.Result - 1]) : null, token);
                foreach (var slot in op.Slots) ServeOrTidy(EntryOf(slot));
                AskNextSlot(entry);
                break;
            case LockVerb.Release or LockVerb.ReleaseShared:
                Released(op, entry);
                break;
            case LockVerb.Mark:
                entry.Mark = op.Result != 0 ? LockEntry.Sign.Set : LockEntry.Sign.None;
                Unmark(entry);
                break;
            case LockVerb.Intend:
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
            if (grant.Written > 0 && entry.State == LockEntry.Stand.Held) desk.StrikeOut(new(LockVerb.ReleaseShared, grant.Key) { Grant = grant });
        }
        else if (entry.Grants.Count == 0)
        {
            entry.State = LockEntry.Stand.Free;
            ServeOrTidy(entry);
        }
    }

    private bool TryAsk(Claim claim, int wish)
    {
        var wanted = claim.Wishes[wish];
        var entry = EntryOf(wanted.Key);
        if (wanted.Limit > 1) return TryAskSlot(claim, wish, entry);
        if (!entry.IsFreeFor(wanted.Mode)) return false;

        var joins = entry.State != LockEntry.Stand.Free;
        if (joins) entry.Joining++;
        else Reserve(entry, wanted.Mode);

        claim.IsAsked = true;
        _asks++;
        Orders.Add(new(joins ? LockVerb.Join : wanted.Mode == LockMode.Shared ? LockVerb.TakeShared : LockVerb.Take, wanted.Key) { Claim = claim, Wish = wish, Line = claim.BeforeOf(wish) });
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
    private void Unask(LockOp op)
    {
        op.Claim!.IsAsked = false;
        var entry = EntryOf(op.Key);
        if (op.Verb == LockVerb.Join)
        {
            entry.Joining--;
            return;
        }

        if (op.Verb == LockVerb.TakeSlot) entry.AsksForSlot = false;
        else Unreserve(entry);
        if (op.Slots.Count > 0) Count += op.Slots.Count - 1;
        foreach (var slot in op.Slots) Unreserve(EntryOf(slot));
    }

    private void UnaskAndTidy(LockOp op)
    {
        Unask(op);
        Tidy(EntryOf(op.Key));
        foreach (var slot in op.Slots) Tidy(EntryOf(slot));
    }

    /// <summary>A claim has the answer to one of its wishes: the entry that it was granted, or none.</summary>
    private void Answered(LockOp op, LockEntry asked, LockEntry? granted, long token)
    {
        var claim = op.Claim!;
        claim.IsAsked = false;
        if (op.Result <= BehindOthers) StandBehind(claim, op.Result);
        if (granted is not null) Grant(granted, claim, op.Wish, token);

        if (granted is null && claim is { Waits: true, IsAbandoned: false })
        {
            if (HasRoomToWait(asked, desk.Budget))
            {
                Wait(asked, claim);
                return;
            }

            claim.Failure = desk.TooManyLocks(Weight, LocksOfWaitedKey);
        }

        LeaveLine(asked, claim);
        Close(claim, op.Wish, granted is not null);
        Unmark(asked);
        // Further readers may share what this one has got; a writer lets them wait.
        Serve(asked);
    }

    /// <summary>Others stand in the line. One who waits here instead goes before all who come to stand there later.</summary>
    private static void StandBehind(Claim claim, long result)
    {
        claim.IsBehind = true;
        if (result < BehindOthers) claim.Before = BehindOthers - result;
    }

    private void Grant(LockEntry entry, Claim claim, int wish, long token)
    {
        if (entry.State != LockEntry.Stand.Held) Count++;
        entry.State = LockEntry.Stand.Held;
        entry.Token = token;
        entry.Line = claim.Wishes[wish].Key;
        var grant = new LockGrant(claim.Wishes[wish], entry.Key, claim.Holder, desk.UtcNow, desk, token) { Stack = claim.Stack };
        entry.Grants.Add(grant);
        if (claim.Wishes[wish].Limit > 1) desk.NoteLimit(claim.Wishes[wish]);
        claim.Grants[wish] = grant;
    }

    private void Close(Claim claim, int wish, bool granted)
    {
        if (!granted && claim.Refused == Claim.Granted) claim.Refused = wish;
        if (--claim.Open > 0) return;

        // All or none, and nothing for one who has gone.
        if (claim.IsAbandoned || claim.Refused != Claim.Granted || claim.Failure is not null) GiveBack(claim);
        Done.Add(claim);
    }

    private void Refuse(Claim claim, int wish)
    {
        claim.Refused = wish;
        claim.Open = 0;
        Done.Add(claim);
    }

    private void GiveBack(Claim claim)
    {
        for (var wish = 0; wish < claim.Grants.Length; wish++)
        {
            if (claim.Grants[wish] is { } grant) Release(grant);
            claim.Grants[wish] = null;
        }
    }

    private void GiveBackIfLast(LockEntry entry, LockGrant? grant = null)
    {
        if (entry.State != LockEntry.Stand.Held || entry.Grants.Count + entry.Joining > 0) return;

        entry.State = LockEntry.Stand.Free;
        Count--;
        Orders.Add(new(entry.Mode == LockMode.Shared ? LockVerb.ReleaseShared : LockVerb.Release, entry.Key) { Grant = grant, Line = (entry.Line ?? entry.Key).Value });
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
