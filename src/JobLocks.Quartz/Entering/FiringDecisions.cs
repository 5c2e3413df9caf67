using System.Collections.Concurrent;
using JobLocks.Gate;
using Quartz;

namespace JobLocks.Quartz.Entering;

/// <summary>
/// The decisions for the firings of one scheduler that have not ended, by Quartz's id of the firing: their locks, or that they must not execute.
/// Thread-safe. Releasing is idempotent and never throws.
/// </summary>
internal sealed class FiringDecisions
{
    private readonly ConcurrentDictionary<string, Held> _held = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Exception?> _refused = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, Task<bool>> _pending = new(StringComparer.Ordinal);

    /// <summary>Whether this firing holds its locks, for example in an immediate refire. A lost lock is not held.</summary>
    public bool Holds(string fireInstanceId) =>
        _held.TryGetValue(fireInstanceId, out var held) && !held.Locks.Handles.Any(static handle => handle.IsLost);

    /// <summary>The handle of the first declared lock of a firing; null if it holds none.</summary>
    public JobLockHandle? FirstHandleOf(string fireInstanceId) => _held.TryGetValue(fireInstanceId, out var held) ? held.Locks.First : null;

    public void Remember(string fireInstanceId, Admission.Admitted locks) => _held[fireInstanceId] = new(locks);

    /// <summary>Records that the firing must not execute: it is skipped, or fails with <paramref name="failure"/>.</summary>
    public void Refuse(string fireInstanceId, Exception? failure) => _refused[fireInstanceId] = failure;

    /// <summary>Records that the decision follows while the firing has its thread.</summary>
    /// <param name="fireInstanceId">The firing.</param>
    /// <param name="decision">The decision. Its result is whether the firing is put back. It does not fail.</param>
    public void Await(string fireInstanceId, Task<bool> decision) => _pending[fireInstanceId] = decision;

    /// <summary>Waits until the firing is decided.</summary>
    /// <returns>Whether it is put back, and must not execute.</returns>
    public ValueTask<bool> IsPutBackAsync(string fireInstanceId) => _pending.TryGetValue(fireInstanceId, out var decision) ? new(decision) : new(false);

    /// <summary>Whether the firing must not execute.</summary>
    public bool IsRefused(string fireInstanceId) => _refused.ContainsKey(fireInstanceId);

    /// <summary>The exception with which a refused firing fails; null if it is skipped, or not refused.</summary>
    public Exception? FailureOf(string fireInstanceId) => _refused.GetValueOrDefault(fireInstanceId);

    /// <summary>
    /// Registers a callback for the loss of a lock of this firing. It is called at most once, and immediately if the lock is already lost. Further calls do
    /// nothing.
    /// </summary>
    public void WhenLost(IJobExecutionContext context, Action<IJobExecutionContext, JobLockHandle> notify)
    {
        if (_held.TryGetValue(context.FireInstanceId, out var held)) held.Watch(first => notify(context, first));
    }

    public void Release(string? fireInstanceId)
    {
        if (fireInstanceId is null || !_held.TryRemove(fireInstanceId, out var held)) return;

        held.Unwatch();
        held.Locks.Dispose();
    }

    /// <summary>Releases the locks of a firing that has ended, and removes its decision.</summary>
    public void End(string? fireInstanceId)
    {
        Release(fireInstanceId);
        if (fireInstanceId is null) return;

        _refused.TryRemove(fireInstanceId, out _);
        _pending.TryRemove(fireInstanceId, out _);
    }

    private sealed class Held(Admission.Admitted locks)
    {
        private readonly Lock _sync = new();
        private bool _isWatched;
        private CancellationTokenRegistration _watcher;

        public Admission.Admitted Locks => locks;

        public void Watch(Action<JobLockHandle> notify)
        {
            lock (_sync)
            {
                if (_isWatched) return;

                _isWatched = true;
            }

            // Outside of the mutex: the callback runs in this call if the lock is already lost. All handles of a firing are lost
            // together.
            var first = locks.First;
            var watcher = first.Lost.UnsafeRegister(_ => notify(first), state: null);
            lock (_sync) _watcher = watcher;
        }

        public void Unwatch()
        {
            CancellationTokenRegistration watcher;
            lock (_sync) watcher = _watcher;
            watcher.Unregister();
        }
    }
}
