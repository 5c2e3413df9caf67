
namespace JobLocks.Primitives;

/// <summary>Whether something has failed lately. A failure is over when none has followed for a time, whatever has succeeded meanwhile. Thread-safe.</summary>
/// <param name="lasts">How long after the last failure it counts as over.</param>
internal sealed class RecentFailure(TimeSpan lasts)
{
    // Ticks of the boot clock.
    private long _lastAt = long.MinValue;

    /// <summary>Whether the last failure is not over.</summary>
    public bool IsRecent => Volatile.Read(ref _lastAt) is > long.MinValue and var last && BootClock.Now.Ticks - last < lasts.Ticks;

    /// <summary>Counts a failure.</summary>
    /// <returns>Whether the failure before it was over.</returns>
    public bool Add()
    {
        var isNew = !IsRecent;
        Volatile.Write(ref _lastAt, BootClock.Now.Ticks);
        return isNew;
    }
}
