using System.Collections.Concurrent;
using JobLocks.Gate;
using JobLocks.Primitives;

namespace JobLocks.Quartz.Waiting;

/// <summary>Counts the free threads of a scheduler, and those in which runs wait. Thread-safe.</summary>
internal sealed class SchedulerThreads
{
    // Without a run that could wait in its thread for so long, no run is called for such a wait.
    private static readonly TimeSpan Lately = TimeSpan.FromMinutes(1);

    private readonly ConcurrentDictionary<string, bool> _running = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, bool> _deciding = new(StringComparer.Ordinal);
    private readonly WorkerShare _waiting = new();
    private long _couldWaitAtTicks = long.MinValue;
    private volatile int _count = int.MaxValue;
    private volatile Action _freed = static () => { };

    /// <summary>The number of threads; unlimited until it is known.</summary>
    public int Count { get => _count; set => _count = value; }

    /// <summary>The number of free threads.</summary>
    public int Free => Math.Max(0, Count - _running.Count);

    /// <summary>Called when a thread has become free.</summary>
    public Action Freed { get => _freed; set => _freed = value; }

    /// <summary>How many more runs may wait in their threads; zero if lately there was no such run.</summary>
    public int RoomToWait(double share) =>
        Volatile.Read(ref _couldWaitAtTicks) is var at and > long.MinValue && BootClock.Now.Ticks - at < Lately.Ticks ? _waiting.Room(share, Count, Performing) : 0;

    /// <summary>Records that a run that has waited must not wait in its thread: such runs are not called until there is another one.</summary>
    public void NoteCannotWait() => Volatile.Write(ref _couldWaitAtTicks, long.MinValue);

    /// <summary>Occupies the thread of a run that waits in it; null where too many threads wait.</summary>
    public IDisposable? TryKeep(double share)
    {
        Volatile.Write(ref _couldWaitAtTicks, BootClock.Now.Ticks);
        return Count == int.MaxValue ? null : _waiting.TryOccupy(share, Count, Performing);
    }

    /// <summary>Records that a firing occupies a thread, and that the gate decides about it.</summary>
    public void BeginDecision(string fireInstanceId)
    {
        Begin(fireInstanceId);
        _deciding[fireInstanceId] = true;
    }

    /// <summary>Records that the gate has decided about a firing.</summary>
    public void EndDecision(string fireInstanceId) => _deciding.TryRemove(fireInstanceId, out _);

    private int Performing => Math.Max(0, _running.Count - _deciding.Count);

    /// <summary>Records that a firing occupies a thread.</summary>
    public void Begin(string fireInstanceId) => _running[fireInstanceId] = true;

    /// <summary>Records that a firing has ended, or is about to release its locks just before its end. May be called more than once for a firing.</summary>
    public void End(string? fireInstanceId)
    {
        if (fireInstanceId is null) return;

        EndDecision(fireInstanceId);
        if (_running.TryRemove(fireInstanceId, out _)) Freed();
    }
}
