using System.Runtime.CompilerServices;
using JobLocks.Diagnostics;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;

namespace JobLocks.Gate;

/// <summary>
/// Detects self-waits: a run creates a job that needs the lock of the run. Usually the run ends and the job starts. A run that waits for that
/// job waits for ever, without a visible cause. So a warning is logged when the run still holds its lock some seconds later. Thread-safe.
/// </summary>
internal sealed class SelfWaits(ILogger log)
{
    /// <summary>How long after the creation of such a job the warning is logged.</summary>
    public static readonly TimeSpan WarningDelay = TimeSpan.FromSeconds(5);

    private readonly ConditionalWeakTable<JobLockHandle, JobCall> _watched = [];

    /// <summary>Call it when a run that holds a lock has created a job. Does not block.</summary>
    public void OnJobCreated(JobLockHandle handle, JobCall created, string? scope)
    {
        var held = handle.AcquiredTogether ?? [handle];
        var conflict = RuleRequest.AllOf(created, scope).FirstOrDefault(request => held.Any(heldLock => MustWaitFor(heldLock, request)));
        // At most one warning for each run, because a run may create thousands of jobs.
        if (conflict is not null && _watched.TryAdd(handle, created)) _ = WatchAsync(handle, created, conflict);
    }

    /// <summary>
    /// Whether the created job cannot start before the held lock is released. A rule that skips or fails does not wait, and a limit above 1 can leave
    /// a free slot.
    /// </summary>
    private static bool MustWaitFor(JobLockHandle held, RuleRequest request) =>
        held.NameKey == request.Key
        && (held.Mode == LockMode.Exclusive || request.Lock.Mode == LockMode.Exclusive)
        && request.Lock.Limit == 1
        && request.Rule.OnConflict is OnConflict.Wait or OnConflict.Reschedule;

    private async Task WatchAsync(JobLockHandle handle, JobCall created, RuleRequest request)
    {
        await Task.Delay(WarningDelay).ConfigureAwait(false);
        if (!handle.IsReleased) log.WaitsForItself(DisplayText.Name(handle.Holder.Run ?? "A run", DisplayText.LongestRun), request.ShownName, WarningDelay.TotalSeconds, created.ShownId);
    }
}
