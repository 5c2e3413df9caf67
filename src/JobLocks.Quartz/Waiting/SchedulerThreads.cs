using System.Collections.Concurrent;

namespace JobLocks.Quartz.Waiting;

/// <summary>Counts the free threads of a scheduler. Thread-safe.</summary>
internal sealed class SchedulerThreads
{
    private readonly ConcurrentDictionary<string, bool> _running = new(StringComparer.Ordinal);
    private volatile int _count = int.MaxValue;
    private volatile Action _freed = static () => { };

    /// <summary>The number of threads; unlimited until it is known.</summary>
    public int Count { get => _count; set => _count = value; }

    /// <summary>The number of free threads.</summary>
    public int Free => Math.Max(0, Count - _running.Count);

    /// <summary>Called when a thread has become free.</summary>
    public Action Freed { get => _freed; set => _freed = value; }

    /// <summary>Records that a firing occupies a thread.</summary>
    public void Begin(string fireInstanceId) => _running[fireInstanceId] = true;

    /// <summary>Records that a firing has ended, or is about to release its locks just before its end. May be called more than once for a firing.</summary>
    public void End(string? fireInstanceId)
    {
        if (fireInstanceId is not null && _running.TryRemove(fireInstanceId, out _)) Freed();
    }
}
