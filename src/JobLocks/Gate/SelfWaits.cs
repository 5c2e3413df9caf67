using System.Runtime.CompilerServices;
using JobLocks.Diagnostics;
using JobLocks.Primitives;
using Microsoft.Extensions.Logging;

namespace JobLocks.Gate;

/// <summary>
/// Jobs that a run makes and that need the lock which the run has itself. Most are meant for later, and the run ends. One that waits for such a job
/// waits for ever, and nobody sees why: so it is said when the run has not ended after a while. Thread-safe.
/// </summary>
internal sealed class SelfWaits(ILogger log)
{
    /// <summary>How long a run may go on after it made such a job, until that is said.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly ConditionalWeakTable<JobLockHandle, JobCall> _watched = [];

    /// <summary>The run that has a lock has made a job. Waits for nothing.</summary>
    public void Made(JobLockHandle handle, JobCall made, string? scope)
    {
        var held = handle.Together ?? [handle];
        var wanted = RuleRequest.AllOf(made, scope).FirstOrDefault(request => held.Any(one => MustWaitFor(one, request)));
        // Once for each run: it may make thousands.
        if (wanted is not null && _watched.TryAdd(handle, made)) _ = WatchAsync(handle, made, wanted);
    }

    /// <summary>One that does not wait at all, ends; and one of several that may run at once may find room.</summary>
    private static bool MustWaitFor(JobLockHandle held, RuleRequest wanted) =>
        held.Line == wanted.Key
        && (held.Mode == LockMode.Exclusive || wanted.Lock.Mode == LockMode.Exclusive)
        && wanted.Lock.Limit == 1
        && wanted.Rule.OnConflict is OnConflict.Wait or OnConflict.Reschedule;

    private async Task WatchAsync(JobLockHandle handle, JobCall made, RuleRequest wanted)
    {
        await Task.Delay(Patience).ConfigureAwait(false);
        if (!handle.IsReleased) log.WaitsForItself(DisplayText.Name(handle.Holder.Run ?? "A run", DisplayText.LongestRun), wanted.ShownName, Patience.TotalSeconds, made.ShownId);
    }
}
