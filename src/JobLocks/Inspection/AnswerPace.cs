
using JobLocks.Primitives;

namespace JobLocks.Inspection;

/// <summary>
/// Lets fifty answers out in a second, and fifty at once after a quiet second: to write a page costs processor time that runs need, however little it
/// asks of the server. Thread-safe.
/// </summary>
/// <param name="now">The time now.</param>
internal sealed class AnswerPace(Func<TimeSpan> now)
{
    private static readonly TimeSpan Between = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan Burst = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(3);

    private readonly Lock _sync = new();
    private TimeSpan _next;

    public AnswerPace()
        : this(static () => BootClock.Now)
    {
    }

    /// <summary>How long the next answer has to wait. Each call counts as one answer.</summary>
    /// <exception cref="JobLocksUnavailableException">It would be too long.</exception>
    public TimeSpan Next()
    {
        lock (_sync)
        {
            var at = now();
            var next = (_next > at - Burst ? _next : at - Burst) + Between;
            if (next - at > LongestWait) throw TooMany();

            _next = next;
            return next > at ? next - at : TimeSpan.Zero;
        }
    }

    private static JobLocksUnavailableException TooMany() => new("More look at the locks of this process than it answers: fifty in a second. Runs are not held up by it.")
    {
        LookTrouble = "Too many look at the locks at this moment",
    };
}
