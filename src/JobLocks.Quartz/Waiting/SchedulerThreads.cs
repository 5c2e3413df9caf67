using System.Collections.Concurrent;

namespace JobLocks.Quartz.Waiting;

/// <summary>Which threads of a scheduler are free. Thread-safe.</summary>
internal sealed class SchedulerThreads
{
    private readonly ConcurrentDictionary<string, bool> _running = new(StringComparer.Ordinal);

    /// <summary>How many there are; as many as are needed before that is known.</summary>
    public int Count { get; set; } = int.MaxValue;

    /// <summary>How many are free.</summary>
    public int Free => Math.Max(0, Count - _running.Count);

    /// <summary>Called when one has become free.</summary>
    public Action Freed { get; set; } = static () => { };

    /// <summary>A firing takes one.</summary>
    public void Begin(string fireInstanceId) => _running[fireInstanceId] = true;

    /// <summary>A firing has come to its end, or releases its locks, which is a moment before. May be called more than once.</summary>
    public void End(string? fireInstanceId)
    {
        if (fireInstanceId is not null && _running.TryRemove(fireInstanceId, out _)) Freed();
    }
}
