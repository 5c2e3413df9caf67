using JobLocks.Primitives;

namespace JobLocks.Postgres.Locks;

/// <content>Those who wait: first come, first served, and only the first of them asks the server.</content>
internal sealed partial class LocalLockTable
{
    // After others were told that a lock is free, those who wait here let them go first.
    private static readonly TimeSpan Courtesy = TimeSpan.FromMilliseconds(5);

    private readonly List<(TimeSpan When, LockKey Key)> _later = [];

    /// <summary>Whether somebody waits for a lock that another process has.</summary>
    public bool WaitsForOthers => _entries.Values.Any(static entry => entry.Mark == LockEntry.Sign.Set);

    /// <summary>The caller has gone. What it was granted meanwhile is given back: now, or when the answer comes.</summary>
    public void Abandon(AcquireRequest acquire)
    {
        acquire.IsAbandoned = true;
        if (acquire.Open == 0) GiveBack(acquire);
        if (acquire.IsAsked || !acquire.Waits || !_entries.TryGetValue(acquire.Requests[0].Key, out var entry) || !LeaveLine(entry, acquire)) return;

        Unmark(entry);
        ServeOrTidy(entry);
    }

    /// <summary>Somebody else has let go of a key, or may have.</summary>
    public void Retry(LockKey key)
    {
        if (_entries.TryGetValue(key, out var entry)) Serve(entry);
    }

    /// <summary>Asks once more for all that is waited for: a holder that died tells nobody.</summary>
    public void RetryAll()
    {
        foreach (var entry in _entries.Values.Where(static entry => entry.Waiting.Count > 0).ToList()) Serve(entry);
    }

    /// <summary>Serves those who let others go first.</summary>
    public void RetryLater(TimeSpan now)
    {
        if (_later.Count == 0) return;

        foreach (var (_, key) in _later.Where(later => later.When <= now).ToList()) Retry(key);
        _later.RemoveAll(later => later.When <= now);
    }

    /// <summary>Refused to one who waits: it marks, tries once more, and then waits for news.</summary>
    private void Wait(LockEntry entry, AcquireRequest acquire)
    {
        StandInLine(entry, acquire);
        dispatcher.NeedsListener = true;

        // Refused where a writer of another process shows it already, which does as well.
        if (acquire.Requests[0].Mode == LockMode.Exclusive && entry.Intent == LockEntry.Sign.None)
        {
            entry.Intent = LockEntry.Sign.Asked;
            Orders.Add(new(OperationCode.Intend, entry.Key));
        }

        if (entry.Mark != LockEntry.Sign.None) return;

        entry.Mark = LockEntry.Sign.Asked;
        Orders.Add(new(OperationCode.Mark, entry.Key));
        Serve(entry);
    }

    /// <summary>Inserts a acquire in the order of arrival: one that was asked for at once may have come before those in the list.</summary>
    private void StandInLine(LockEntry entry, AcquireRequest acquire)
    {
        if (acquire.Node is not null) return;

        if (entry.Waiting.Count == 0) _waitedKeys++;
        // From the end: nearly every acquire belongs there, and thousands may wait.
        var previous = entry.Waiting.Last;
        while (previous is not null && previous.Value.Arrival > acquire.Arrival) previous = previous.Previous;
        acquire.Node = previous is null ? entry.Waiting.AddFirst(acquire) : entry.Waiting.AddAfter(previous, acquire);
    }

    private bool LeaveLine(LockEntry entry, AcquireRequest acquire)
    {
        if (acquire.Node is not { } node) return false;

        entry.Waiting.Remove(node);
        acquire.Node = null;
        if (entry.Waiting.Count == 0) _waitedKeys--;
        return true;
    }

    private void Serve(LockEntry entry)
    {
        // The first only: those behind it would be asked for in vain.
        if (entry.Waiting.First?.Value is { IsAsked: false } head) TryAsk(head, 0);
    }

    private void Released(LockOperation op, LockEntry entry)
    {
        if (op.Result == 0) dispatcher.ReleaseFailed(op);
        if (op.Result > 1 && entry.Waiting.Count > 0) _later.Add((BootClock.Now + Courtesy, entry.Key));
        else Serve(entry);
    }

    private void Unmark(LockEntry entry)
    {
        if (entry.Mark == LockEntry.Sign.Set && entry.Waiting.Count == 0)
        {
            entry.Mark = LockEntry.Sign.None;
            Orders.Add(new(OperationCode.Unmark, entry.Key));
        }

        if (entry.Intent == LockEntry.Sign.Set && !entry.Waiting.Any(static waiting => waiting.Requests[0].Mode == LockMode.Exclusive))
        {
            entry.Intent = LockEntry.Sign.None;
            Orders.Add(new(OperationCode.Unintend, entry.Key));
        }
    }
}
