using JobLocks.Locks;

namespace JobLocks.Postgres.Locks;

/// <summary>
/// What happens to locks and requests when the session is lost, when the effect of a statement is unknown, or when the first session shows how many
/// locks this process may use. Not thread-safe: used under the mutex of the <see cref="LockDispatcher"/>.
/// </summary>
internal sealed class LockTableRecovery(LocalLockTable table, LockEntries entries, LockReservations reservations, LockTableOutput output)
{
    /// <summary>
    /// The session is lost, with every lock that it held. Unanswered requests are sent to the next session, unless there is a failure to report.
    /// </summary>
    /// <param name="sent">The operations of the last statement, if it has no answer.</param>
    /// <param name="failure">The exception for requests that are unanswered or waiting; null to send them again.</param>
    /// <returns>The lost locks.</returns>
    public IReadOnlyList<LockGrant> Lose(IReadOnlyList<LockOperation> sent, Exception? failure)
    {
        var unanswered = sent.Concat(output.Operations).Where(static op => op.Request is not null).ToList();
        output.Operations.Clear();
        table.Waiters.ForgetDeferred();
        foreach (var op in unanswered) reservations.Undo(op);

        var requests = unanswered.Select(static op => op.Request!).Concat(entries.TakeSlotWaiters()).Where(static request => request.Unanswered > 0).Distinct().ToList();
        var lost = entries.LoseAll();
        foreach (var request in requests) RetryOrFail(request, failure);
        foreach (var entry in entries.All.ToList()) ContinueOrFail(entry, failure);
        return lost;
    }

    /// <summary>A statement failed, and its effect is unknown. Reconciles the local table with what the session holds: releases what it should not hold.</summary>
    /// <param name="sent">The operations of the statement.</param>
    /// <param name="server">The keys that the session holds, with their modes.</param>
    /// <param name="failure">The exception for unanswered requests.</param>
    /// <param name="retriesOnce">Whether requests are sent once more before they fail.</param>
    /// <returns>Whether the session lacks a lock that was granted.</returns>
    public bool Reconcile(IReadOnlyList<LockOperation> sent, IReadOnlySet<(LockKey Key, LockMode Mode)> server, Exception failure, bool retriesOnce = false)
    {
        var unanswered = sent.Where(static op => op.Request is not null).ToList();
        foreach (var op in unanswered) reservations.Undo(op);
        foreach (var op in unanswered) reservations.ReleaseIfUnused(entries.Of(op.Key));

        // The signals were cleared on the server before this call. Waiters set them again when the server refuses them the next time.
        output.Operations.RemoveAll(static op => op.Code is OperationCode.SetWaiterSignal or OperationCode.ClearWaiterSignal or OperationCode.SetWriterSignal or OperationCode.ClearWriterSignal);
        foreach (var entry in entries.All) entry.WaiterSignal = entry.WriterSignal = LockEntry.Signal.None;

        var expected = entries.All.Where(static entry => entry.State == LockEntryState.Held).ToDictionary(static entry => (entry.Key, entry.Mode));
        var releasing = output.Operations.Where(static op => op.IsRelease)
            .Select(static op => (op.Key, op.Code == OperationCode.Release ? LockMode.Exclusive : LockMode.Shared)).ToHashSet();
        var surplus = server.Where(held => !expected.ContainsKey(held) && !releasing.Contains(held))
            .Select(static held =>
                new LockOperation(held.Mode == LockMode.Shared ? OperationCode.ReleaseShared : OperationCode.Release, held.Key) { QueueArgument = held.Key.Value });
        output.Operations.InsertRange(0, surplus.ToList());

        // A request is not restarted while some of its operations are still to be sent.
        var partlyQueued = output.Operations.Select(static op => op.Request).ToHashSet();
        foreach (var request in unanswered.Select(static op => op.Request!).Distinct())
            RetryOrFail(request, retriesOnce && !request.WasInterrupted && !partlyQueued.Contains(request) ? null : failure);
        foreach (var entry in entries.All.ToList()) ContinueOrFail(entry, failure: null);
        return !expected.Keys.All(server.Contains);
    }

    /// <summary>
    /// Starts all unanswered requests anew, in the order of arrival, and fails those that do not fit into the budget. The budget is not known before
    /// a session is open.
    /// </summary>
    public void TrimToBudget(Exception failure)
    {
        var requests = output.Operations.Select(static op => op.Request).OfType<AcquireRequest>()
            .Concat(entries.All.SelectMany(static entry => entry.Waiters))
            .Concat(entries.TakeSlotWaiters())
            .Where(static request => request.Unanswered > 0)
            .Distinct()
            .OrderBy(static request => request.Arrival)
            .ToList();
        foreach (var op in output.Operations.Where(static op => op.Request is not null)) reservations.Undo(op);
        output.Operations.RemoveAll(static op => op.Request is not null);
        foreach (var request in requests.Where(static request => request.Waits)) entries.RemoveWaiter(entries.Of(request.Requests[0].Key), request);

        foreach (var request in requests)
        {
            request.Unanswered = request.Requests.Count;
            if (!request.IsAbandoned && table.Share.HasRoomFor(request)) table.AddRequest(request);
            else table.Fail(request, failure);
        }

        foreach (var entry in entries.All.ToList()) entries.Tidy(entry);
    }

    private void RetryOrFail(AcquireRequest request, Exception? failure)
    {
        table.ReleaseGrants(request);
        if (failure is null && request is { Waits: true, IsAbandoned: false })
        {
            entries.AddWaiter(entries.Of(request.Requests[0].Key), request);
            return;
        }

        // After two interruptions the request fails: a third session would probably break too.
        if (failure is not null || request.WasInterrupted || request.IsAbandoned)
        {
            table.Fail(request, failure ?? new JobLocksUnavailableException("The lock session broke twice before it answered."));
            return;
        }

        request.WasInterrupted = true;
        request.RefusedIndex = AcquireRequest.Granted;
        request.IsRefusedForQueue = false;
        request.Unanswered = request.Requests.Count;
        table.AddRequest(request);
    }

    private void ContinueOrFail(LockEntry entry, Exception? failure)
    {
        if (failure is not null)
        {
            foreach (var request in entry.Waiters.ToList()) table.Fail(request, failure);
        }

        table.RequestNextSlot(entry);
        table.Waiters.RequestFirstAndTidy(entry);
    }
}
