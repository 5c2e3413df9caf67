
namespace JobLocks.Primitives;

/// <summary>
/// Remembers whether an operation has failed recently. A failure counts as over when no other failure has followed for some time; successes in
/// between do not matter. Thread-safe.
/// </summary>
/// <param name="lasts">For how long a failure counts as recent.</param>
internal sealed class RecentFailure(TimeSpan lasts)
{
    // Ticks of the boot clock.
    private long _lastAt = long.MinValue;

    /// <summary>Whether the last failure is still recent.</summary>
    public bool IsRecent => Volatile.Read(ref _lastAt) is > long.MinValue and var last && BootClock.Now.Ticks - last < lasts.Ticks;

    /// <summary>Records a failure.</summary>
    /// <returns>Whether no earlier failure is still recent.</returns>
    public bool Add()
    {
        var now = BootClock.Now.Ticks;
        var before = Interlocked.Exchange(ref _lastAt, now);
        return before == long.MinValue || now - before >= lasts.Ticks;
    }
}
