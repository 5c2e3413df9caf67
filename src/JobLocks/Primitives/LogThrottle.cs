
namespace JobLocks.Primitives;

/// <summary>For what would be said a thousand times in an outage: it is said once in a while. Thread-safe.</summary>
internal sealed class LogThrottle
{
    /// <summary>How long until it is said again.</summary>
    public static readonly TimeSpan Pause = TimeSpan.FromSeconds(10);

    private long _nextTicks = long.MinValue;

    /// <summary>Whether it is time to say it. True for one of all that ask at the same moment.</summary>
    public bool IsTime()
    {
        var (now, next) = (BootClock.Now, Volatile.Read(ref _nextTicks));
        return now.Ticks >= next && Interlocked.CompareExchange(ref _nextTicks, (now + Pause).Ticks, next) == next;
    }
}
