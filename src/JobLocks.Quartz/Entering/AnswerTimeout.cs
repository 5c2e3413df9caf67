namespace JobLocks.Quartz.Entering;

/// <summary>
/// How long the scheduler waits for the lock server's answer about the runs that it has just fired. It fires no other run meanwhile. After an answer, the next
/// wait is twice as long as that answer took, from 1 to 5 seconds. After a missing answer, waits are 20 ms long for five seconds. Thread-safe.
/// </summary>
internal sealed class AnswerTimeout
{
    private static readonly TimeSpan Shortest = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan WithoutAnswer = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan WithoutAnswerFor = TimeSpan.FromSeconds(5);

    private volatile Observation _last = new(Shortest, NoAnswerUntil: long.MinValue);

    /// <summary>The longest wait for the next answer.</summary>
    public TimeSpan Current => _last is var last && Environment.TickCount64 < last.NoAnswerUntil ? WithoutAnswer : last.Timeout;

    /// <summary>Records that the server has answered.</summary>
    /// <param name="within">The duration of the answer.</param>
    public void Answered(TimeSpan within) =>
        _last = new(TimeSpan.FromMilliseconds(Math.Clamp(2 * within.TotalMilliseconds, Shortest.TotalMilliseconds, Longest.TotalMilliseconds)), NoAnswerUntil: long.MinValue);

    /// <summary>Records that no answer arrived in time.</summary>
    public void OnTimeout() => _last = new(Shortest, Environment.TickCount64 + (long)WithoutAnswerFor.TotalMilliseconds);

    /// <param name="Timeout">The longest wait for the next answer.</param>
    /// <param name="NoAnswerUntil">Until when no answer is expected, in milliseconds since the machine started.</param>
    private sealed record Observation(TimeSpan Timeout, long NoAnswerUntil);
}
