using JobLocks.Primitives;

namespace JobLocks.Postgres.Locks;

/// <summary>
/// The callers of this process that wait for a lock, in the order of arrival. Only the first waiter of a key asks the server. Signals in the server's lock
/// table show other processes that a caller waits. Not thread-safe: used under the mutex of the <see cref="LockDispatcher"/>.
/// </summary>
internal sealed class LocalWaiters(LockEntries entries, LockReservations reservations, LockTableOutput output)
{
    // After a release has notified other processes, the waiters of this process leave them this time to acquire the lock first.
    private static readonly TimeSpan YieldDelay = TimeSpan.FromMilliseconds(5);

    private static readonly TimeSpan BetweenRetries = TimeSpan.FromSeconds(1);

    private readonly List<(TimeSpan When, LockKey Key)> _deferredRetries = [];
    private TimeSpan _retriedAt;

    /// <summary>Whether a request of this process waits for a lock that another process holds.</summary>
    public bool AnyWaitsForOtherProcess => entries.All.Any(static entry => entry.WaiterSignal == LockEntry.Signal.Set);

    /// <summary>Another process released the key, or may have released it.</summary>
    public void Retry(LockKey key)
    {
        if (entries.Find(key) is { } entry) RequestFirst(entry);
    }

    /// <summary>Asks the server again for each key with waiters: a holder that died sends no notification.</summary>
    public void RetryAll()
    {
        foreach (var entry in entries.All.Where(static entry => entry.Waiters.Count > 0).ToList()) RequestFirst(entry);
    }

    /// <summary>Calls <see cref="RetryAll"/> if the last such call was more than a second ago.</summary>
    /// <returns>Whether it has retried.</returns>
    public bool RetryAllIfDue(TimeSpan now)
    {
        if (now - _retriedAt <= BetweenRetries) return false;

        _retriedAt = now;
        RetryAll();
        return true;
    }

    /// <summary>Asks the server again for keys whose waiters have given precedence to other processes.</summary>
    public void RetryDeferred(TimeSpan now)
    {
        if (_deferredRetries.Count == 0) return;

        foreach (var (_, key) in _deferredRetries.Where(retry => retry.When <= now).ToList()) Retry(key);
        _deferredRetries.RemoveAll(retry => retry.When <= now);
    }

    /// <summary>The session is lost: the next one asks for each key with waiters anyhow.</summary>
    public void ForgetDeferred() => _deferredRetries.Clear();

    /// <summary>The server refused a request that waits. Sets the signals, tries once more, and then waits for a notification.</summary>
    public void StartWaiting(LockEntry entry, AcquireRequest request)
    {
        entries.AddWaiter(entry, request);
        output.NeedsListener = true;

        // The server refuses this signal if a writer of another process has set it. That signal has the same effect.
        if (request.Requests[0].Mode == LockMode.Exclusive && entry.WriterSignal == LockEntry.Signal.None)
        {
            entry.WriterSignal = LockEntry.Signal.Requested;
            output.Operations.Add(new(OperationCode.SetWriterSignal, entry.Key));
        }

        if (entry.WaiterSignal != LockEntry.Signal.None) return;

        entry.WaiterSignal = LockEntry.Signal.Requested;
        output.Operations.Add(new(OperationCode.SetWaiterSignal, entry.Key));
        RequestFirst(entry);
    }

    /// <summary>Asks the server for the first waiter of a key.</summary>
    public void RequestFirst(LockEntry entry)
    {
        // Only the first waiter asks: the server would refuse the later ones.
        if (entry.Waiters.First?.Value is { IsPending: false } first) reservations.TryRequest(first, 0);
    }

    /// <summary>As <see cref="RequestFirst"/>, and removes an entry without waiters.</summary>
    public void RequestFirstAndTidy(LockEntry entry)
    {
        RequestFirst(entry);
        entries.Tidy(entry);
    }

    /// <summary>The server answered a release of this process.</summary>
    public void Released(LockEntry entry, bool othersWereNotified)
    {
        if (othersWereNotified && entry.Waiters.Count > 0) _deferredRetries.Add((BootClock.Now + YieldDelay, entry.Key));
        else RequestFirst(entry);
    }

    /// <summary>Clears the signals of a key that no waiter needs any more.</summary>
    public void ClearUnneededSignals(LockEntry entry)
    {
        if (entry.WaiterSignal == LockEntry.Signal.Set && entry.Waiters.Count == 0)
        {
            entry.WaiterSignal = LockEntry.Signal.None;
            output.Operations.Add(new(OperationCode.ClearWaiterSignal, entry.Key));
        }

        if (entry.WriterSignal == LockEntry.Signal.Set && !entry.Waiters.Any(static waiting => waiting.Requests[0].Mode == LockMode.Exclusive))
        {
            entry.WriterSignal = LockEntry.Signal.None;
            output.Operations.Add(new(OperationCode.ClearWriterSignal, entry.Key));
        }
    }
}
