using System.Collections.Concurrent;
using JobLocks.Gate;
using Quartz;

namespace JobLocks.Quartz.Entering;

/// <summary>
/// What was decided for the firings of one scheduler that are on their way, by Quartz's id of the firing: their locks, or that they must not run.
/// Thread-safe; releasing is idempotent and never throws.
/// </summary>
internal sealed class RunningLocks
{
    private readonly ConcurrentDictionary<string, Held> _held = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Exception?> _refused = new(StringComparer.Ordinal);

    /// <summary>Whether this firing holds its locks, as an immediate refire does. Lost ones are not held.</summary>
    public bool Holds(string fireInstanceId) =>
        _held.TryGetValue(fireInstanceId, out var held) && !held.Locks.Handles.Any(static handle => handle.IsLost);

    /// <summary>The lock of a firing that was declared first; null where it holds none.</summary>
    public JobLockHandle? Find(string fireInstanceId) => _held.TryGetValue(fireInstanceId, out var held) ? held.Locks.First : null;

    public void Remember(string fireInstanceId, Admission.Admitted locks) => _held[fireInstanceId] = new(locks);

    /// <summary>The firing is not to run: it is skipped, or fails with <paramref name="failure"/>.</summary>
    public void Refuse(string fireInstanceId, Exception? failure) => _refused[fireInstanceId] = failure;

    /// <summary>Whether the firing is not to run.</summary>
    public bool IsRefused(string fireInstanceId) => _refused.ContainsKey(fireInstanceId);

    /// <summary>What a refused firing fails with; null where it is skipped, or not refused.</summary>
    public Exception? FailureOf(string fireInstanceId) => _refused.GetValueOrDefault(fireInstanceId);

    /// <summary>Calls back once when a lock of this firing is lost, at once where it is lost already.</summary>
    public void WhenLost(IJobExecutionContext context, Action<IJobExecutionContext, JobLockHandle> tell)
    {
        if (!_held.TryGetValue(context.FireInstanceId, out var held) || !held.Watch()) return;

        var first = held.Locks.First;
        // All handles share one session and are lost together.
        held.Watcher = first.Lost.UnsafeRegister(_ => tell(context, first), state: null);
    }

    public void Release(string? fireInstanceId)
    {
        if (fireInstanceId is null || !_held.TryRemove(fireInstanceId, out var held)) return;

        held.Watcher.Unregister();
        held.Locks.Dispose();
    }

    /// <summary>The firing is over.</summary>
    public void Forget(string? fireInstanceId)
    {
        Release(fireInstanceId);
        if (fireInstanceId is not null) _refused.TryRemove(fireInstanceId, out _);
    }

    private sealed class Held(Admission.Admitted locks)
    {
        private bool _watched;

        public Admission.Admitted Locks => locks;

        public CancellationTokenRegistration Watcher { get; set; }

        public bool Watch() => !Interlocked.Exchange(ref _watched, true);
    }
}
