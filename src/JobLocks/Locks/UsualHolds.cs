namespace JobLocks.Locks;

/// <summary>For how long locks are usually held, as this process has seen it: a moving average for each key. Thread-safe.</summary>
/// <remarks>
/// The average is exponentially weighted: each hold counts for a quarter, see https://en.wikipedia.org/wiki/Exponential_smoothing. The keys that were
/// released last are kept, between one and two times <see cref="MostKeys"/>.
/// </remarks>
internal sealed class UsualHolds
{
    private const int MostKeys = 5_000;
    private const double Weight = 0.25;

    private readonly Lock _sync = new();
    private Dictionary<LockKey, TimeSpan> _recent = [];
    private Dictionary<LockKey, TimeSpan> _older = [];

    /// <summary>Counts a hold that has ended.</summary>
    public void Add(LockKey key, TimeSpan held)
    {
        lock (_sync)
        {
            var usual = FindUnsynchronized(key) is { } known ? known + (Weight * (held - known)) : held;
            if (_recent.Count >= MostKeys && !_recent.ContainsKey(key)) (_older, _recent) = (_recent, []);
            _recent[key] = usual;
        }
    }

    /// <summary>For how long the lock of a key is usually held; null where this process has not seen it released lately.</summary>
    public TimeSpan? Find(LockKey key)
    {
        lock (_sync) return FindUnsynchronized(key);
    }

    private TimeSpan? FindUnsynchronized(LockKey key) => _recent.TryGetValue(key, out var usual) || _older.TryGetValue(key, out usual) ? usual : null;
}
