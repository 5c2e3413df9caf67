
using JobLocks.Primitives;

namespace JobLocks.Inspection;

/// <summary>
/// Limits the answers of dashboards to fifty a second, with a burst of fifty after one second without answers: rendering a page costs processor time
/// that the runs need, even where it hardly queries the server. Thread-safe.
/// </summary>
/// <param name="now">Returns the current time of a monotonic clock.</param>
internal sealed class AnswerThrottle(Func<TimeSpan> now)
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan Burst = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(3);

    private readonly Lock _sync = new();
    private TimeSpan _next;

    /// <summary>Uses the clock of the machine.</summary>
    public AnswerThrottle()
        : this(static () => BootClock.Now)
    {
    }

    /// <summary>How long the caller must wait before its answer. Each call counts as one answer.</summary>
    /// <exception cref="JobLocksUnavailableException">The wait would exceed three seconds.</exception>
    public TimeSpan Next()
    {
        lock (_sync)
        {
            var current = now();
            var next = (_next > current - Burst ? _next : current - Burst) + Interval;
            if (next - current > LongestWait) throw TooMany();

            _next = next;
            return next > current ? next - current : TimeSpan.Zero;
        }
    }

    private static JobLocksUnavailableException TooMany() => new("This process answers at most fifty page requests in a second, and more arrive. Runs are not affected.")
    {
        InspectionErrorTitle = "Too many page requests at the moment",
    };
}
