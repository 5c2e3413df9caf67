using JobLocks.Primitives;

namespace JobLocks.Postgres.Session;

/// <summary>When the next session may be opened. Not thread-safe: used under the mutex of the <see cref="SessionSupervisor"/>.</summary>
internal sealed class ReopenSchedule
{
    private static readonly TimeSpan ShortestDelay = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LongestDelay = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan BetweenBreaks = TimeSpan.FromMilliseconds(500);

    private TimeSpan _delay = ShortestDelay;
    private TimeSpan _notBefore;
    private TimeSpan _brokeAt = TimeSpan.MinValue / 2;

    /// <summary>Whether a session may be opened now.</summary>
    public bool IsTime => BootClock.Now >= _notBefore;

    /// <summary>A session broke.</summary>
    /// <returns>Whether the previous one broke a moment ago.</returns>
    public bool Broke()
    {
        var wasRecent = BootClock.Now - _brokeAt < BetweenBreaks;
        _brokeAt = BootClock.Now;
        return wasRecent;
    }

    /// <summary>Delays the next session. The delay doubles each time.</summary>
    public void Delay()
    {
        // A random delay: when a server restarts, the processes do not all connect at the same moment.
        _notBefore = BootClock.Now + (_delay * (0.5 + Random.Shared.NextDouble()));
        _delay = _delay * 2 < LongestDelay ? _delay * 2 : LongestDelay;
    }

    /// <summary>A session is open, so that the next delay is short again.</summary>
    public void Reset() => _delay = ShortestDelay;
}
