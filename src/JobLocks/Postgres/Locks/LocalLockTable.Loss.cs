using JobLocks.Locks;

namespace JobLocks.Postgres.Locks;

/// <content>What happens to locks and requests when the session is lost, or when the effect of a statement is unknown.</content>
internal sealed partial class LocalLockTable
{
    /// <summary>
    /// The session is lost, with every lock that it held. Unanswered requests are sent to the next session, unless there is a failure to report.
    /// </summary>
    /// <param name="sent">The operations of the last statement, if it has no answer.</param>
    /// <param name="failure">The exception for requests that are unanswered or waiting; null to send them again.</param>
    /// <returns>The lost locks.</returns>
    public IReadOnlyList<LockGrant> Lose(IReadOnlyList<LockOperation> sent, Exception? failure)
    {
        var unanswered = sent.Concat(Operations).Where(static op => op.Request is not null).ToList();
        Operations.Clear();
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

    /// <summary>A statement failed, and its effect is unknown. Compares what the session holds with what this table expects.</summary>
    /// <param name="sent">The operations of the statement.</param>
    /// <param name="server">The keys that the session holds, with their modes.</param>
    /// <param name="failure">The exception for unanswered requests.</param>
    /// <param name="retriesOnce">Whether requests are sent once more before they fail.</param>
    /// <returns>Whether the session lacks a lock that was granted.</returns>
    public bool Compare(IReadOnlyList<LockOperation> sent, IReadOnlySet<(LockKey Key, LockMode Mode)> server, Exception failure, bool retriesOnce = false)
    {
        var unanswered = sent.Where(static op => op.Request is not null).ToList();
        foreach (var op in unanswered) UndoReservation(op);
        foreach (var op in unanswered) ReleaseIfUnused(EntryOf(op.Key));

        // The signals were cleared on the server before this call. Waiters set them again when the server refuses them the next time.
        Operations.RemoveAll(static op => op.Code is OperationCode.SetWaiterSignal or OperationCode.ClearWaiterSignal or OperationCode.SetWriterSignal or OperationCode.ClearWriterSignal);
        foreach (var entry in _entries.Values) entry.WaiterSignal = entry.WriterSignal = LockEntry.Signal.None;

        var expected = _entries.Values.Where(static entry => entry.State == LockEntryState.Held).ToDictionary(static entry => (entry.Key, entry.Mode));
        var releasing = Operations.Where(static op => op.Code is OperationCode.Release or OperationCode.ReleaseShared)
            .Select(static op => (op.Key, op.Code == OperationCode.Release ? LockMode.Exclusive : LockMode.Shared)).ToHashSet();
        var surplus = server.Where(held => !expected.ContainsKey(held) && !releasing.Contains(held))
            .Select(static held =>
                new LockOperation(held.Mode == LockMode.Shared ? OperationCode.ReleaseShared : OperationCode.Release, held.Key) { QueueArgument = held.Key.Value });
        Operations.InsertRange(0, surplus.ToList());

        // A request is not restarted while some of its operations are still to be sent.
        var partlyQueued = Operations.Select(static op => op.Request).ToHashSet();
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

        // Two interruptions are enough: a third session would hardly do better.
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
    /// The entry stays occupied until its runs have disposed their handles: a new session must not be granted the lock while such a run still works.
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
