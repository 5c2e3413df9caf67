using System.Diagnostics;
using JobLocks.Diagnostics;
using JobLocks.Naming;
using JobLocks.Primitives;
using JobLocks.Rules;

namespace JobLocks.Gate;

/// <summary>One run as its scheduler passes it to the gate: the job, its arguments and its rules.</summary>
internal sealed record JobCall : JobInvocation
{
    /// <summary>The name of the scheduler as it is shown: <c>Hangfire</c>.</summary>
    public required string Scheduler { get; init; }

    /// <summary>The scheduler's own id of this run, made one line: logs and reasons contain it.</summary>
    public required string JobId { get; init => field = DisplayText.OneLine(value); }

    /// <summary><see cref="JobId"/>, shortened for display.</summary>
    public string ShownId => DisplayText.Name(JobId, DisplayText.LongestRun);

    /// <summary>The run as traces show it.</summary>
    public TracedRun Traced => new(Scheduler, ShownId, CreatedBy);

    /// <summary>Returns the id of the job store that keeps the run, for dashboards; null where it is unknown. Does not throw.</summary>
    public Func<string?> Store { get; init; } = static () => null;

    /// <summary>The rules of the job, in the order of declaration: attributes first. Locks of <c>WithJobLock</c> are ordered by name.</summary>
    public required IReadOnlyList<LockRule> Rules { get; init; }

    /// <summary>The activity that created the job, to which the span of the run is linked; null where the scheduler does not keep it.</summary>
    public ActivityContext? CreatedBy { get; init; }

    /// <summary>
    /// Returns whether this run was started before and did not end (a recovery, a second fetch, a retry of Quartz). A conflict then only
    /// reschedules the run. The gate calls it only for a conflict that would end the run, because it may query the job store.
    /// </summary>
    public Func<bool> WasStartedBefore { get; init; } = static () => false;

    /// <summary>Whether the run may already have a queue entry. False only where it was certainly never parked.</summary>
    public bool MayHaveQueueEntry { get; init; }

    /// <summary>
    /// Returns the address under which the run is found while it waits; null where it cannot be parked, and is rescheduled instead. The gate
    /// calls it only for a run that may have to wait, because it may query the job store.
    /// </summary>
    public AddressLookup Address { get; init; } = static _ => null;

    /// <summary>Cancelled when the scheduler begins to shut down: a run that waits in its worker is then parked.</summary>
    public CancellationToken Stopping { get; init; }

    /// <summary>
    /// Occupies the worker of the run for a wait in it, until the result is disposed. The parameter is the largest share of the workers in which runs may wait.
    /// Null where too many workers wait already, or where the run has no worker yet.
    /// </summary>
    public Func<double, IDisposable?> TryKeepWorker { get; init; } = static _ => null;
}
