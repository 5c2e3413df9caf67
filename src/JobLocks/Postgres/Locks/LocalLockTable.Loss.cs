using JobLocks.Locks;

namespace JobLocks.Postgres.Locks;

/// <content>What becomes of it all when the session is gone, or when nobody knows what it did.</content>
internal sealed partial class LocalLockTable
{
    /// <summary>
    /// The session is gone, and with it all it held. What it was asked and did not answer is asked of the next one,
    /// unless there is a failure to be told.
    /// </summary>
    /// <param name="sent">What it was told last and did not answer.</param>
    /// <param name="failure">What those who ask and wait are told; null to ask again.</param>
    /// <returns>The handles that are lost.</returns>
    public IReadOnlyList<LockGrant> Lose(IReadOnlyList<LockOperation> sent, Exception? failure)
    {
        var unanswered = sent.Concat(Orders).Where(static op => op.Request is not null).ToList();
        Orders.Clear();
        _deferredRetries.Clear();
        foreach (var op in unanswered) UndoReservation(op);

        var requests = unanswered.Select(static op => op.Request!).Concat(TakeSlotWaiters()).Where(static request => request.Unanswered > 0).Distinct().ToList();
        var lost = new List<LockGrant>();
        foreach (var entry in _entries.Values)
        {
            entry.WaiterSignal = entry.WriterSignal = LockEntry.Signal.None;
            if (entry.State != LockEntryState.Held) continue;

            MarkLost(entry);
            lost.AddRange(entry.Grants);
        }

        Count = 0;
        foreach (var request in requests) RetryOrFail(request, failure);
        foreach (var entry in _entries.Values.ToList()) ContinueOrFail(entry, failure);
        return lost;
    }

    /// <summary>A statement failed, and nobody knows how far it came: what the server has is compared with what is wanted.</summary>
    /// <param name="sent">What the statement was told.</param>
    /// <param name="server">What the session holds, and how.</param>
    /// <param name="failure">What those who asked are told.</param>
    /// <param name="retriesOnce">Whether they are told so only the second time, and are asked for once more before.</param>
    /// <returns>Whether something is missing there that was granted.</returns>
    public bool Compare(IReadOnlyList<LockOperation> sent, IReadOnlySet<(LockKey Key, LockMode Mode)> server, Exception failure, bool retriesOnce = false)
    {
        var unanswered = sent.Where(static op => op.Request is not null).ToList();
        foreach (var op in unanswered) UndoReservation(op);
        foreach (var op in unanswered) ReleaseIfUnused(EntryOf(op.Key));

        // What others were shown has been taken back on the server; those who wait show it again at the next look.
        Orders.RemoveAll(static op => op.Verb is OperationCode.Mark or OperationCode.Unmark or OperationCode.Intend or OperationCode.Unintend);
        foreach (var entry in _entries.Values) entry.WaiterSignal = entry.WriterSignal = LockEntry.Signal.None;

        var expected = _entries.Values.Where(static entry => entry.State == LockEntryState.Held).ToDictionary(static entry => (entry.Key, entry.Mode));
        var releasing = Orders.Where(static op => op.Verb is OperationCode.Release or OperationCode.ReleaseShared)
            .Select(static op => (op.Key, op.Verb == OperationCode.Release ? LockMode.Exclusive : LockMode.Shared)).ToHashSet();
        var surplus = server.Where(held => !expected.ContainsKey(held) && !releasing.Contains(held))
            .Select(static held =>
                new LockOperation(held.Mode == LockMode.Shared ? OperationCode.ReleaseShared : OperationCode.Release, held.Key) { QueueArgument = held.Key.Value });
        Orders.InsertRange(0, surplus.ToList());

        // One of which a part is still to be asked for is not begun anew.
        var partlyQueued = Orders.Select(static op => op.Request).ToHashSet();
        foreach (var request in unanswered.Select(static op => op.Request!).Distinct())
            RetryOrFail(request, retriesOnce && !request.WasInterrupted && !partlyQueued.Contains(request) ? null : failure);
        foreach (var entry in _entries.Values.ToList()) ContinueOrFail(entry, failure: null);
        return !expected.Keys.All(server.Contains);
    }

    private void RetryOrFail(AcquireRequest request, Exception? failure)
    {
        ReleaseGrants(request);
        if (failure is null && request is { Waits: true, IsAbandoned: false })
        {
            AddWaiter(EntryOf(request.Requests[0].Key), request);
            return;
        }

        // Cut off twice is enough: the third session would hardly do better.
        if (failure is not null || request.WasInterrupted || request.IsAbandoned)
        {
            Fail(request, failure ?? new JobLocksUnavailableException("The lock session broke twice before it answered."));
            return;
        }

        request.WasInterrupted = true;
        request.Refused = AcquireRequest.Granted;
        request.WasRefusedForQueue = false;
        request.Unanswered = request.Requests.Count;
        Enter(request);
    }

    private void ContinueOrFail(LockEntry entry, Exception? failure)
    {
        if (failure is not null)
        {
            foreach (var request in entry.Waiters.ToList()) Fail(request, failure);
        }

        RequestNextSlot(entry);
        ServeAndTidy(entry);
    }

    private void Fail(AcquireRequest request, Exception failure)
    {
        request.Failure = failure;
        request.Unanswered = 0;
        ReleaseGrants(request);
        if (request.Waits && _entries.TryGetValue(request.Requests[0].Key, out var entry)) RemoveWaiter(entry, request);
        Done.Add(request);
    }

    /// <summary>
    /// Its place stays taken until the run has let go: another session must not be granted it here while that run still works.
    /// </summary>
    private static void MarkLost(LockEntry entry) => entry.State = entry.Grants.Count == 0 ? LockEntryState.Free : LockEntryState.Lost;

    private List<AcquireRequest> TakeSlotWaiters()
    {
        var requests = _entries.Values.SelectMany(static entry => entry.SlotWaiters).Select(static waiting => waiting.Request).ToList();
        foreach (var entry in _entries.Values) entry.SlotWaiters.Clear();
        _slotWaiters = 0;
        return requests;
    }
}
