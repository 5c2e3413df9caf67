namespace JobLocks.InMemory.Reading;

/// <summary>
/// The samples of all locks in the last hour. The first change or reading after the time of a sample takes it. The state has not changed since that time. Not
/// thread-safe: used under the mutex of the <see cref="MemoryDispatcher"/>.
/// </summary>
/// <param name="interval">The time between two samples.</param>
internal sealed class MemorySamples(TimeSpan interval)
{
    private static readonly TimeSpan KeptTime = TimeSpan.FromHours(1);

    private readonly Queue<LockSample> _samples = [];
    private DateTimeOffset _next;

    /// <summary>The samples, the oldest first.</summary>
    public IReadOnlyList<LockSample> All => [.. _samples];

    /// <summary>Call it before each change and each reading.</summary>
    /// <param name="now">The current time.</param>
    /// <param name="dispatcher">The state, which has not changed since the previous call.</param>
    public void TakeIfDue(DateTimeOffset now, MemoryDispatcher dispatcher)
    {
        if (now < _next) return;

        var last = RoundDown(now);
        // Samples that would be older than an hour are not taken.
        var first = _next > now - KeptTime ? _next : _samples.Count == 0 ? last : RoundDown(now - KeptTime) + interval;
        var state = Count(dispatcher);
        for (var at = first; at <= last; at += interval) _samples.Enqueue(state with { At = at });
        while (_samples.TryPeek(out var oldest) && oldest.At <= now - KeptTime) _samples.Dequeue();
        _next = last + interval;
    }

    private static LockSample Count(MemoryDispatcher dispatcher)
    {
        var held = dispatcher.Locks.Held.ToList();
        var waited = dispatcher.Queue.All.Where(static entry => entry.SkipReason is null).Select(static entry => entry.Key).ToList();
        var heldKeys = held.SelectMany(static entry => entry.Grants).SelectMany(static grant => new[] { grant.Key, grant.NameKey }).ToHashSet();
        return new(default, held.Count, waited.Count, waited.Distinct().Count(key => !heldKeys.Contains(key)));
    }

    private DateTimeOffset RoundDown(DateTimeOffset time) => new(time.UtcTicks - (time.UtcTicks % interval.Ticks), TimeSpan.Zero);
}
