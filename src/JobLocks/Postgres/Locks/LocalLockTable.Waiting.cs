using JobLocks.Primitives;

namespace JobLocks.Postgres.Locks;

/// <content>Those who wait: first come, first served, and only the first of them asks the server.</content>
internal sealed partial class LocalLockTable
{
    // After others were told that a lock is free, those who wait here let them go first.
    private static readonly TimeSpan YieldDelay = TimeSpan.FromMilliseconds(5);

    private readonly List<(TimeSpan When, LockKey Key)> _deferredRetries = [];

    /// <summary>Whether somebody waits for a lock that another process has.</summary>
    public bool WaitsForOtherProcesses => _entries.Values.Any(static entry => entry.WaiterSignal == LockEntry.Signal.Set);

    /// <summary>The caller has gone. What it was granted meanwhile is given back: now, or when the answer comes.</summary>
    public void Abandon(AcquireRequest request)
    {
        request.IsAbandoned = true;
        if (request.Unanswered == 0) ReleaseGrants(request);
        if (request.IsPending || !request.Waits || !_entries.TryGetValue(request.Requests[0].Key, out var entry) || !RemoveWaiter(entry, request)) return;

        ClearUnneededSignals(entry);
        ServeAndTidy(entry);
    }

    /// <summary>Somebody else has let go of a key, or may have.</summary>
    public void Retry(LockKey key)
    {
        if (_entries.TryGetValue(key, out var entry)) ServeFirstWaiter(entry);
    }

    /// <summary>Asks once more for all that is waited for: a holder that died tells nobody.</summary>
    public void RetryAll()
    {
        foreach (var entry in _entries.Values.Where(static entry => entry.Waiters.Count > 0).ToList()) ServeFirstWaiter(entry);
    }

    /// <summary>Serves those who let others go first.</summary>
    public void RetryDeferred(TimeSpan now)
    {
        if (_deferredRetries.Count == 0) return;

        foreach (var (_, key) in _deferredRetries.Where(retry => retry.When <= now).ToList()) Retry(key);
        _deferredRetries.RemoveAll(retry => retry.When <= now);
    }

    /// <summary>Refused to one who waits: it marks, tries once more, and then waits for news.</summary>
    private void StartWaiting(LockEntry entry, AcquireRequest request)
    {
        AddWaiter(entry, request);
        dispatcher.NeedsListener = true;

        // Refused where a writer of another process shows it already, which does as well.
        if (request.Requests[0].Mode == LockMode.Exclusive && entry.WriterSignal == LockEntry.Signal.None)
        {
            entry.WriterSignal = LockEntry.Signal.Requested;
            Orders.Add(new(OperationCode.Intend, entry.Key));
        }

        if (entry.WaiterSignal != LockEntry.Signal.None) return;

        entry.WaiterSignal = LockEntry.Signal.Requested;
        Orders.Add(new(OperationCode.Mark, entry.Key));
        ServeFirstWaiter(entry);
    }

    /// <summary>Inserts a acquire in the order of arrival: one that was asked for at once may have come before those in the list.</summary>
    private void AddWaiter(LockEntry entry, AcquireRequest request)
    {
        if (request.Node is not null) return;

        if (entry.Waiters.Count == 0) _waitedKeys++;
        // From the end: nearly every acquire belongs there, and thousands may wait.
        var previous = entry.Waiters.Last;
        while (previous is not null && previous.Value.Arrival > request.Arrival) previous = previous.Previous;
        request.Node = previous is null ? entry.Waiters.AddFirst(request) : entry.Waiters.AddAfter(previous, request);
    }

    private bool RemoveWaiter(LockEntry entry, AcquireRequest request)
    {
        if (request.Node is not { } node) return false;

        entry.Waiters.Remove(node);
        request.Node = null;
        if (entry.Waiters.Count == 0) _waitedKeys--;
        return true;
    }

    private void ServeFirstWaiter(LockEntry entry)
    {
        // The first only: those behind it would be asked for in vain.
        if (entry.Waiters.First?.Value is { IsPending: false } first) TryRequest(first, 0);
    }

    private void ServeAndTidy(LockEntry entry)
    {
        ServeFirstWaiter(entry);
        Tidy(entry);
    }

    private void HandleRelease(LockOperation op, LockEntry entry)
    {
        if (op.Result == 0) dispatcher.ReleaseFailed(op);
        if (op.Result > 1 && entry.Waiters.Count > 0) _deferredRetries.Add((BootClock.Now + YieldDelay, entry.Key));
        else ServeFirstWaiter(entry);
    }

    private void ClearUnneededSignals(LockEntry entry)
    {
        if (entry.WaiterSignal == LockEntry.Signal.Set && entry.Waiters.Count == 0)
        {
            entry.WaiterSignal = LockEntry.Signal.None;
            Orders.Add(new(OperationCode.Unmark, entry.Key));
        }

        if (entry.WriterSignal == LockEntry.Signal.Set && !entry.Waiters.Any(static waiting => waiting.Requests[0].Mode == LockMode.Exclusive))
        {
            entry.WriterSignal = LockEntry.Signal.None;
            Orders.Add(new(OperationCode.Unintend, entry.Key));
        }
    }
}
