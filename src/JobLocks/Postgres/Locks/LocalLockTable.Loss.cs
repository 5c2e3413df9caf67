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
        var open = sent.Concat(Orders).Where(static op => op.Request is not null).ToList();
        Orders.Clear();
        _later.Clear();
        foreach (var op in open) Unask(op);

        var acquires = open.Select(static op => op.Request!).Concat(TakeThoseWhoWaitForSlots()).Where(static acquire => acquire.Open > 0).Distinct().ToList();
        var lost = new List<LockGrant>();
        foreach (var entry in _entries.Values)
        {
            entry.Mark = entry.Intent = LockEntry.Sign.None;
            if (entry.State != LockEntry.Stand.Held) continue;

            MarkLost(entry);
            lost.AddRange(entry.Grants);
        }

        Count = 0;
        foreach (var acquire in acquires) AskAgainOrFail(acquire, failure);
        foreach (var entry in _entries.Values.ToList()) GoOnOrFail(entry, failure);
        return lost;
    }

    /// <summary>A statement failed, and nobody knows how far it came: what the server has is compared with what is wanted.</summary>
    /// <param name="sent">What the statement was told.</param>
    /// <param name="server">What the session holds, and how.</param>
    /// <param name="failure">What those who asked are told.</param>
    /// <param name="asksAgain">Whether they are told so only the second time, and are asked for once more before.</param>
    /// <returns>Whether something is missing there that was granted.</returns>
    public bool Compare(IReadOnlyList<LockOperation> sent, IReadOnlySet<(LockKey Key, LockMode Mode)> server, Exception failure, bool asksAgain = false)
    {
        var open = sent.Where(static op => op.Request is not null).ToList();
        foreach (var op in open) Unask(op);
        foreach (var op in open) GiveBackIfLast(EntryOf(op.Key));

        // What others were shown has been taken back on the server; those who wait show it again at the next look.
        Orders.RemoveAll(static order => order.Verb is OperationCode.Mark or OperationCode.Unmark or OperationCode.Intend or OperationCode.Unintend);
        foreach (var entry in _entries.Values) entry.Mark = entry.Intent = LockEntry.Sign.None;

        var wanted = _entries.Values.Where(static entry => entry.State == LockEntry.Stand.Held).ToDictionary(static entry => (entry.Key, entry.Mode));
        var givenBack = Orders.Where(static order => order.Verb is OperationCode.Release or OperationCode.ReleaseShared)
            .Select(static order => (order.Key, order.Verb == OperationCode.Release ? LockMode.Exclusive : LockMode.Shared)).ToHashSet();
        var surplus = server.Where(held => !wanted.ContainsKey(held) && !givenBack.Contains(held))
            .Select(static held => new LockOperation(held.Mode == LockMode.Shared ? OperationCode.ReleaseShared : OperationCode.Release, held.Key) { Line = held.Key.Value });
        Orders.InsertRange(0, surplus.ToList());

        // One of which a part is still to be asked for is not begun anew.
        var partly = Orders.Select(static order => order.Request).ToHashSet();
        foreach (var acquire in open.Select(static op => op.Request!).Distinct())
            AskAgainOrFail(acquire, asksAgain && !acquire.WasCutOff && !partly.Contains(acquire) ? null : failure);
        foreach (var entry in _entries.Values.ToList()) GoOnOrFail(entry, failure: null);
        return !wanted.Keys.All(server.Contains);
    }

    private void AskAgainOrFail(AcquireRequest acquire, Exception? failure)
    {
        GiveBack(acquire);
        if (failure is null && acquire is { Waits: true, IsAbandoned: false })
        {
            StandInLine(EntryOf(acquire.Requests[0].Key), acquire);
            return;
        }

        // Cut off twice is enough: the third session would hardly do better.
        if (failure is not null || acquire.WasCutOff || acquire.IsAbandoned)
        {
            Fail(acquire, failure ?? new JobLocksUnavailableException("The lock session broke twice before it answered."));
            return;
        }

        acquire.WasCutOff = true;
        acquire.Refused = AcquireRequest.Granted;
        acquire.IsBehind = false;
        acquire.Open = acquire.Requests.Count;
        Enter(acquire);
    }

    private void GoOnOrFail(LockEntry entry, Exception? failure)
    {
        if (failure is not null)
        {
            foreach (var acquire in entry.Waiting.ToList()) Fail(acquire, failure);
        }

        AskNextSlot(entry);
        ServeOrTidy(entry);
    }

    private void Fail(AcquireRequest acquire, Exception failure)
    {
        acquire.Failure = failure;
        acquire.Open = 0;
        GiveBack(acquire);
        if (acquire.Waits && _entries.TryGetValue(acquire.Requests[0].Key, out var entry)) LeaveLine(entry, acquire);
        Done.Add(acquire);
    }

    /// <summary>
    /// Its place stays taken until the run has let go: another session must not be granted it here while that run still works.
    /// </summary>
    private static void MarkLost(LockEntry entry) => entry.State = entry.Grants.Count == 0 ? LockEntry.Stand.Free : LockEntry.Stand.Lost;

    private List<AcquireRequest> TakeThoseWhoWaitForSlots()
    {
        var acquires = _entries.Values.SelectMany(static entry => entry.WaitingForSlots).Select(static waiting => waiting.Request).ToList();
        foreach (var entry in _entries.Values) entry.WaitingForSlots.Clear();
        _waitingForSlots = 0;
        return acquires;
    }
}
