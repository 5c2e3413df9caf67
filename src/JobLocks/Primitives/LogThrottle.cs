
namespace JobLocks.Primitives;

/// <summary>Limits a log message that an outage would repeat thousands of times: at most one in <see cref="Pause"/>. Thread-safe.</summary>
internal sealed class LogThrottle
{
    /// <summary>The shortest time between two messages.</summary>
    public static readonly TimeSpan Pause = TimeSpan.FromSeconds(10);

    private long _nextTicks = long.MinValue;

    /// <summary>Whether the message is due. Of several concurrent callers, only one gets true.</summary>
    public bool IsTime()
    {
        var (now, next) = (BootClock.Now, Volatile.Read(ref _nextTicks));
        return now.Ticks >= next && Interlocked.CompareExchange(ref _nextTicks, (now + Pause).Ticks, next) == next;
    }
}
