using JobLocks.Primitives;

namespace JobLocks.Postgres.Locks;

/// <content>The waiters of this process, in the order of arrival. Only the first waiter of a key asks the server.</content>
internal sealed partial class LocalLockTable
{
    // After a release has notified other processes, the waiters of this process leave them this time to acquire the lock first.
    private static readonly TimeSpan YieldDelay = TimeSpan.FromMilliseconds(5);

    private readonly List<(TimeSpan When, LockKey Key)> _deferredRetries = [];

    /// <summary>Whether a request of this process waits for a lock that another process holds.</summary>
    public bool WaitsForOtherProcesses => _entries.Values.Any(static entry => entry.WaiterSignal == LockEntry.Signal.Set);

    /// <summary>The caller stopped waiting. Locks that it was granted are released: now, or when the answer arrives.</summary>
    public void Abandon(AcquireRequest request)
    {
        request.IsAbandoned = true;
        if (request.Unanswered == 0) ReleaseGrants(request);
        if (request.IsPending || !request.Waits || !_entries.TryGetValue(request.Requests[0].Key, out var entry) || !RemoveWaiter(entry, request)) return;

        ClearUnneededSignals(entry);
        ServeAndTidy(entry);
    }

    /// <summary>Another process released the key, or may have released it.</summary>
    public void Retry(LockKey key)
    {
        if (_entries.TryGetValue(key, out var entry)) ServeFirstWaiter(entry);
    }

    /// <summary>Asks the server again for each key with waiters: a holder that died sends no notification.</summary>
    public void RetryAll()
    {
        foreach (var entry in _entries.Values.Where(static entry => entry.Waiters.Count > 0).ToList()) ServeFirstWaiter(entry);
    }

    /// <summary>Asks the server again for keys whose waiters let other processes go first.</summary>
    public void RetryDeferred(TimeSpan now)
    {
        if (_deferredRetries.Count == 0) return;

        foreach (var (_, key) in _deferredRetries.Where(retry => retry.When <= now).ToList()) Retry(key);
        _deferredRetries.RemoveAll(retry => retry.When <= now);
    }

    /// <summary>The server refused a request that waits. Sets the signals, tries once more, and then waits for a notification.</summary>
    private void StartWaiting(LockEntry entry, AcquireRequest request)
    {
        AddWaiter(entry, request);
        dispatcher.NeedsListener = true;

        // The server refuses this signal if a writer of another process has set it. That signal has the same effect.
        if (request.Requests[0].Mode == LockMode.Exclusive && entry.WriterSignal == LockEntry.Signal.None)
        {
            entry.WriterSignal = LockEntry.Signal.Requested;
            Operations.Add(new(OperationCode.SetWriterSignal, entry.Key));
        }

        if (entry.WaiterSignal != LockEntry.Signal.None) return;

        entry.WaiterSignal = LockEntry.Signal.Requested;
        Operations.Add(new(OperationCode.SetWaiterSignal, entry.Key));
        ServeFirstWaiter(entry);
    }

    /// <summary>
    /// Inserts a waiter in the order of arrival. A request that asked the server at once can be older than the waiters in the list.
    /// </summary>
    private void AddWaiter(LockEntry entry, AcquireRequest request)
    {
        if (request.Node is not null) return;

        if (entry.Waiters.Count == 0) _waitedKeys++;
        // The search starts at the end: nearly every request belongs there, and the list can have thousands of waiters.
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
        // Only the first waiter asks: the server would refuse the ones behind it.
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
            Operations.Add(new(OperationCode.ClearWaiterSignal, entry.Key));
        }

        if (entry.WriterSignal == LockEntry.Signal.Set && !entry.Waiters.Any(static waiting => waiting.Requests[0].Mode == LockMode.Exclusive))
        {
            entry.WriterSignal = LockEntry.Signal.None;
            Operations.Add(new(OperationCode.ClearWriterSignal, entry.Key));
        }
    }
}
