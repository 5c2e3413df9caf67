namespace JobLocks.Quartz.Entering;

/// <summary>
/// How long the scheduler waits for the lock server's answer about the runs that it has just fired. It fires no other run meanwhile. After an answer, the next
/// wait is twice as long as that answer took, from 1 to 5 seconds. After a missing answer, waits are 20 ms long for five seconds. Thread-safe.
/// </summary>
internal sealed class AnswerPatience
{
    private static readonly TimeSpan Shortest = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan WithoutAnswer = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan WithoutAnswerFor = TimeSpan.FromSeconds(5);

    private long _milliseconds = (long)Shortest.TotalMilliseconds;
    private long _withoutAnswerUntil = long.MinValue;

    /// <summary>The longest wait for the next answer.</summary>
    public TimeSpan Next => Environment.TickCount64 < Volatile.Read(ref _withoutAnswerUntil) ? WithoutAnswer : TimeSpan.FromMilliseconds(Volatile.Read(ref _milliseconds));

    /// <summary>Records that the server has answered.</summary>
    /// <param name="within">The duration of the answer.</param>
    public void Answered(TimeSpan within)
    {
        Volatile.Write(ref _milliseconds, (long)Math.Clamp(2 * within.TotalMilliseconds, Shortest.TotalMilliseconds, Longest.TotalMilliseconds));
        Volatile.Write(ref _withoutAnswerUntil, long.MinValue);
    }

    /// <summary>Records that no answer arrived in time.</summary>
    public void Missed()
    {
        Volatile.Write(ref _milliseconds, (long)Shortest.TotalMilliseconds);
        Volatile.Write(ref _withoutAnswerUntil, Environment.TickCount64 + (long)WithoutAnswerFor.TotalMilliseconds);
    }
}
