using JobLocks.Locks;

namespace JobLocks.Postgres.Locks;

/// <summary>
/// The locks that this process holds, requests and waits for. Decides what needs no server, and notes operations for the session. Not thread-safe:
/// used under the mutex of the <see cref="LockDispatcher"/>.
/// </summary>
internal sealed class LocalLockTable
{
    // The server's answer if entries of the wait queue precede the request.
    private const long RefusedForQueue = -2;

    private readonly ILockOwner _owner;
    private readonly TimeProvider _clock;
    private readonly LockEntries _entries = new();
    private readonly LockReservations _reservations;
    private long _arrivals;

    /// <param name="owner">Releases the granted locks.</param>
    /// <param name="clock">The time of grants.</param>
    /// <param name="server">The server, for messages.</param>
    public LocalLockTable(ILockOwner owner, TimeProvider clock, string server)
    {
        _owner = owner;
        _clock = clock;
        _reservations = new(_entries, Output);
        Waiters = new(_entries, _reservations, Output);
        Share = new(_entries, server);
        Recovery = new(this, _entries, _reservations, Output);
    }

    /// <summary>The output of the changes: what the dispatcher has to do next.</summary>
    public LockTableOutput Output { get; } = new();

    /// <summary>The callers that wait.</summary>
    public LocalWaiters Waiters { get; }

    /// <summary>How many entries of the server's lock table this process needs and may use.</summary>
    public LockTableShare Share { get; }

    /// <summary>What happens when the session is lost, or when the effect of a statement is unknown.</summary>
    public LockTableRecovery Recovery { get; }

    /// <summary>The number of locks that the session holds or has requested. It is also read without the mutex, to show it.</summary>
    public int Count => _entries.Count;

    /// <summary>The number of keys with an entry.</summary>
    public int Known => _entries.All.Count;

    /// <summary>
    /// Adds a new request. A request that does not wait is refused at once if a lock of this process conflicts with one of its locks. The server is then not
    /// asked for the others.
    /// </summary>
    public void AddRequest(AcquireRequest request)
    {
        request.Arrival = ++_arrivals;
        if (request.Waits)
        {
            var entry = _entries.Of(request.Requests[0].Key);
            if (entry.Waiters.Count > 0 || !_reservations.TryRequest(request, 0)) AddWaiter(entry, request);
            return;
        }

        var operations = Output.Operations;
        var asked = operations.Count;
        for (var index = 0; index < request.Requests.Count; index++)
        {
            // A waiter of this process for an exclusive or shared lock precedes all new requests except those of woken runs. With a limit, another slot can
            // be free.
            var lockRequest = request.Requests[index];
            var mayAsk = lockRequest.Limit > 1 || request.EntryLimitFor(index) == EntryLimit.Woken || _entries.Of(lockRequest.Key).Waiters.Count == 0;
            if (mayAsk && _reservations.TryRequest(request, index)) continue;

            var reserved = operations.GetRange(asked, operations.Count - asked);
            operations.RemoveRange(asked, reserved.Count);
            foreach (var op in reserved) _reservations.UndoAndTidy(op);
            _entries.Tidy(_entries.Of(lockRequest.Key));
            Refuse(request, index);
            return;
        }
    }

    /// <summary>Applies the server's answer to one operation.</summary>
    /// <param name="op">The operation, with its answer.</param>
    /// <param name="token">The fencing token of what the statement granted; 0 if there is none.</param>
    public void Answered(LockOperation op, long token)
    {
        var entry = _entries.Of(op.Key);
        switch (op.Code)
        {
            case OperationCode.Acquire or OperationCode.AcquireShared:
                _reservations.Undo(op);
                HandleAcquire(op, entry, op.Result > 0 ? entry : null, token);
                break;
            case OperationCode.Join:
                _reservations.Undo(op);
                // The acquire operation that this reader joined may have been refused. While a writer waits, no further reader is granted the lock.
                var shares = op.Result > 0 && entry is { State: LockEntryState.Held, Mode: LockMode.Shared };
                HandleAcquire(op, entry, shares ? entry : null, entry.Token);
                if (!shares) _reservations.ReleaseIfUnused(entry);
                break;
            case OperationCode.AcquireSlot:
                _reservations.Undo(op);
                HandleAcquire(op, entry, op.Result > 0 ? _entries.Of(op.Slots[(int)op.Result - 1]) : null, token);
                foreach (var slot in op.Slots) Waiters.RequestFirstAndTidy(_entries.Of(slot));
                RequestNextSlot(entry);
                break;
            case OperationCode.Release or OperationCode.ReleaseShared:
                if (op.Result == 0 && op.Grant is not null) Output.AddMissing(op);
                Waiters.Released(entry, othersWereNotified: op.Result > 1);
                break;
            case OperationCode.SetWaiterSignal:
                entry.WaiterSignal = op.Result != 0 ? LockEntry.Signal.Set : LockEntry.Signal.None;
                Waiters.ClearUnneededSignals(entry);
                break;
            case OperationCode.SetWriterSignal:
                entry.WriterSignal = op.Result != 0 ? LockEntry.Signal.Set : LockEntry.Signal.None;
                Waiters.ClearUnneededSignals(entry);
                break;
        }

        _entries.Tidy(entry);
    }

    /// <summary>The caller stopped waiting. Locks that it was granted are released: now, or when the answer arrives.</summary>
    public void Abandon(AcquireRequest request)
    {
        request.IsAbandoned = true;
        if (request.Unanswered == 0) ReleaseGrants(request);
        if (request.IsPending || !request.Waits || _entries.Find(request.Requests[0].Key) is not { } entry || !_entries.RemoveWaiter(entry, request)) return;

        Waiters.ClearUnneededSignals(entry);
        Waiters.RequestFirstAndTidy(entry);
    }

    /// <summary>Releases a lock. For a lost lock, this only frees the entry: the session that held it is lost; its connection may still be open.</summary>
    public void Release(LockGrant grant)
    {
        if (_entries.Find(grant.Key) is not { } entry || !entry.Grants.Remove(grant)) return;

        if (entry.State == LockEntryState.Held)
        {
            _reservations.ReleaseIfUnused(entry, grant);
            if (grant.ReadModelRow > 0 && entry.State == LockEntryState.Held) Output.AddReaderRelease(new(OperationCode.ReleaseShared, grant.Key) { Grant = grant });
        }
        else if (entry.Grants.Count == 0)
        {
            entry.State = LockEntryState.Free;
            Waiters.RequestFirstAndTidy(entry);
        }
    }

    /// <summary>The locks that were granted at a time or before it, and are not lost.</summary>
    public List<LockGrant> GrantedUntil(DateTimeOffset time) =>
        [.. _entries.All.Where(static entry => entry.State == LockEntryState.Held).SelectMany(static entry => entry.Grants).Where(grant => grant.Since <= time)];

    /// <summary>The holder of one of these keys in this process; null if there is none.</summary>
    public Holder? FindHolder(IEnumerable<LockKey> keys) =>
        keys.Select(_entries.Find).FirstOrDefault(static entry => entry is { Grants.Count: > 0 })?.Grants[0].Holder;

    /// <summary>Asks for the next slot of a name, if none is asked for now.</summary>
    internal void RequestNextSlot(LockEntry nameEntry)
    {
        while (!nameEntry.IsRequestingSlot && _entries.TryTakeSlotWaiter(nameEntry, out var next))
        {
            if (next.Request.Unanswered > 0 && !_reservations.TryRequestSlot(next.Request, next.Index, nameEntry)) NoteAnswer(next.Request, next.Index, granted: false);
        }
    }

    /// <summary>Answers a request with an error, and releases what it was granted.</summary>
    internal void Fail(AcquireRequest request, Exception failure)
    {
        request.Failure = failure;
        request.Unanswered = 0;
        ReleaseGrants(request);
        if (request.Waits && _entries.Find(request.Requests[0].Key) is { } entry) _entries.RemoveWaiter(entry, request);
        Output.AddDone(request);
    }

    /// <summary>Releases what a request was granted.</summary>
    internal void ReleaseGrants(AcquireRequest request)
    {
        for (var index = 0; index < request.Grants.Length; index++)
        {
            if (request.Grants[index] is { } grant) Release(grant);
            request.Grants[index] = null;
        }
    }

    /// <summary>Applies the answer to one lock request: the entry that was granted, or null if it was refused.</summary>
    private void HandleAcquire(LockOperation op, LockEntry asked, LockEntry? granted, long token)
    {
        var request = op.Request!;
        if (op.Result <= RefusedForQueue) NoteRefusedForQueue(request, op.Result);
        if (granted is not null) Grant(granted, request, op.Index, token);

        if (granted is null && request is { Waits: true, IsAbandoned: false })
        {
            if (Share.HasRoomToWait(asked))
            {
                request.WaitingSince ??= _clock.GetUtcNow();
                Waiters.StartWaiting(asked, request);
                return;
            }

            request.Failure = Share.ExceededByWaiting();
        }

        _entries.RemoveWaiter(asked, request);
        NoteAnswer(request, op.Index, granted is not null);
        Waiters.ClearUnneededSignals(asked);
        // Further readers can share the lock that this reader was granted. Readers that wait behind a writer keep waiting.
        Waiters.RequestFirst(asked);
    }

    /// <summary>
    /// Entries of the wait queue precede the request. A request that waits in this process keeps the entry number that was drawn for it: it precedes all
    /// entries that are added later.
    /// </summary>
    private static void NoteRefusedForQueue(AcquireRequest request, long result)
    {
        request.IsRefusedForQueue = true;
        if (result < RefusedForQueue) request.EntryLimit = RefusedForQueue - result;
    }

    private void AddWaiter(LockEntry entry, AcquireRequest request)
    {
        request.WaitingSince ??= _clock.GetUtcNow();
        _entries.AddWaiter(entry, request);
    }

    private void Grant(LockEntry entry, AcquireRequest request, int index, long token)
    {
        _entries.Hold(entry);
        entry.Token = token;
        entry.QueueKey = request.Requests[index].Key;
        var grant = new LockGrant(request.Requests[index], entry.Key, request.Holder, _clock.GetUtcNow(), _owner, token)
        {
            Stack = request.Stack,
            WaitingSince = request.WaitingFor == request.Requests[index].Key ? request.WaitingSince : null,
        };
        entry.Grants.Add(grant);
        if (request.Requests[index].Limit > 1) Output.AddGrantedSlot(request.Requests[index]);
        request.Grants[index] = grant;
    }

    private void NoteAnswer(AcquireRequest request, int index, bool granted)
    {
        if (!granted && request.RefusedIndex == AcquireRequest.Granted) request.RefusedIndex = index;
        if (--request.Unanswered > 0) return;

        // All or none, and no locks for a caller that stopped waiting.
        if (request.IsAbandoned || request.RefusedIndex != AcquireRequest.Granted || request.Failure is not null) ReleaseGrants(request);
        Output.AddDone(request);
    }

    private void Refuse(AcquireRequest request, int index)
    {
        request.RefusedIndex = index;
        request.Unanswered = 0;
        Output.AddDone(request);
    }
}
