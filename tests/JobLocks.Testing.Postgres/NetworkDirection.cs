using System.Diagnostics;

namespace JobLocks.Testing.Postgres;

/// <summary>What a <see cref="FaultyNetwork"/> does to all that goes one way. Belongs to the thread of the network.</summary>
internal sealed class NetworkDirection
{
    private long _delay;

    /// <summary>Whether what is underway, and what comes, is thrown away.</summary>
    public bool Drops { get; set; }

    /// <summary>Whether what is underway, and what comes, is kept until it may go on.</summary>
    public bool Holds { get; set; }

    /// <summary>Whether nothing at all gets through.</summary>
    public bool IsClosed => Drops || Holds;

    public void DelayBy(TimeSpan delay) => _delay = (long)(delay.TotalSeconds * Stopwatch.Frequency);

    /// <summary>When something that was sent at that time arrives, by the same clock.</summary>
    public long ArrivalOf(long sentAt) => sentAt + _delay;

    public void Heal() => (Drops, Holds, _delay) = (false, false, 0);
}
