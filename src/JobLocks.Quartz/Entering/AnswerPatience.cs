namespace JobLocks.Quartz.Entering;

/// <summary>
/// How long the scheduler waits for the lock server's answer about the runs that it has just fired. It fires nothing else meanwhile. After a slow answer, the next wait is twice as long as
/// that answer took; after no answer, waits are short for five seconds. Thread-safe.
/// </summary>
internal sealed class AnswerPatience
{
    private static readonly TimeSpan Shortest = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan WithoutAnswer = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan WithoutAnswerFor = TimeSpan.FromSeconds(5);

    private long _milliseconds = (long)Shortest.TotalMilliseconds;
    private long _withoutAnswerUntil = long.MinValue;

    /// <summary>How long the next answer is waited for.</summary>
    public TimeSpan Next => Environment.TickCount64 < Volatile.Read(ref _withoutAnswerUntil) ? WithoutAnswer : TimeSpan.FromMilliseconds(Volatile.Read(ref _milliseconds));

    /// <summary>The server has answered.</summary>
    /// <param name="within">How long it took.</param>
    public void Answered(TimeSpan within)
    {
        Volatile.Write(ref _milliseconds, (long)Math.Clamp(2 * within.TotalMilliseconds, Shortest.TotalMilliseconds, Longest.TotalMilliseconds));
        Volatile.Write(ref _withoutAnswerUntil, long.MinValue);
    }

    /// <summary>The time was over.</summary>
    public void Missed()
    {
        Volatile.Write(ref _milliseconds, (long)Shortest.TotalMilliseconds);
        Volatile.Write(ref _withoutAnswerUntil, Environment.TickCount64 + (long)WithoutAnswerFor.TotalMilliseconds);
    }
}
