namespace JobLocks.Postgres;

/// <content>Those who wait: first come, first served, and only the first of them asks the server.</content>
internal sealed partial class LockTable
{
    // After others were told that a lock is free, those who wait here let them go first.
    private static readonly TimeSpan Courtesy = TimeSpan.FromMilliseconds(5);

    private readonly List<(TimeSpan When, LockKey Key)> _later = [];

    /// <summary>Whether somebody waits for a lock that another process has.</summary>
    public bool WaitsForOthers => _entries.Values.Any(static entry => entry.IsMarked);

    /// <summary>The caller has gone. What it was granted meanwhile is given back: now, or when the answer comes.</summary>
    public void Abandon(Claim claim)
    {
        claim.IsAbandoned = true;
        if (claim.Open == 0) GiveBack(claim);
        if (claim.IsAsked || !claim.Waits || !_entries.TryGetValue(claim.Wishes[0].Key, out var entry) || !entry.Waiting.Remove(claim)) return;

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
    private void Wait(LockEntry entry, Claim claim)
    {
        if (entry.Waiting.First?.Value != claim) entry.Waiting.AddFirst(claim);
        desk.NeedsListener = true;

        // Refused where a writer of another process shows it already, which does as well.
        if (claim.Wishes[0].Mode == LockMode.Exclusive && !entry.IsIntended) Orders.Add(new(LockVerb.Intend, entry.Key));
        if (entry.IsMarked) return;

        Orders.Add(new(LockVerb.Mark, entry.Key));
        TryAsk(claim, 0);
    }

    private void Serve(LockEntry entry)
    {
        // The first only: those behind it would be asked for in vain.
        if (entry.Waiting.First?.Value is { IsAsked: false } head) TryAsk(head, 0);
    }

    private void Released(LockOp op, LockEntry entry)
    {
        if (op.Result == 0) desk.ReleaseFailed(op);
        if (op.Result > 1 && entry.Waiting.Count > 0) _later.Add((BootClock.Now + Courtesy, entry.Key));
        else Serve(entry);
    }

    private void Unmark(LockEntry entry)
    {
        if (entry.IsMarked && entry.Waiting.Count == 0)
        {
            entry.IsMarked = false;
            Orders.Add(new(LockVerb.Unmark, entry.Key));
        }

        if (entry.IsIntended && !entry.Waiting.Any(static waiting => waiting.Wishes[0].Mode == LockMode.Exclusive))
        {
            entry.IsIntended = false;
            Orders.Add(new(LockVerb.Unintend, entry.Key));
        }
    }
}
