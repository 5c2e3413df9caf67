using System.Diagnostics;
using JobLocks.Diagnostics;
using JobLocks.Naming;
using JobLocks.Primitives;
using JobLocks.Rules;
using JobLocks.WaitQueue;

namespace JobLocks.Gate;

/// <summary>One run as a scheduler hands it over: the job, its arguments, and the rules it was declared with.</summary>
internal sealed record JobCall : JobInvocation
{
    /// <summary>Which scheduler, as holders are shown: <c>Hangfire</c>.</summary>
    public required string Scheduler { get; init; }

    /// <summary>The scheduler's own name for this run, in one line: it stands in logs and in reasons.</summary>
    public required string JobId { get; init => field = DisplayText.OneLine(value); }

    /// <summary>The same for a person.</summary>
    public string ShownId => DisplayText.Name(JobId, DisplayText.LongestRun);

    /// <summary>The same for traces.</summary>
    public TracedRun Traced => new(Scheduler, ShownId, Trace);

    /// <summary>Which store keeps the run, for those who look; null where that is not known. Does not throw.</summary>
    public Func<string?> Store { get; init; } = static () => null;

    public required IReadOnlyList<LockRule> Rules { get; init; }

    /// <summary>The activity that made the job, where the scheduler keeps it: the run is linked to it.</summary>
    public ActivityContext? Trace { get; init; }

    /// <summary>
    /// Whether this run was started before and did not end (a recovery, a second fetch, a retry of Quartz): a conflict only reschedules it.
    /// Asked only on a conflict that would end it, since it may cost a look into the store.
    /// </summary>
    public Func<bool> WasStartedBefore { get; init; } = static () => false;

    /// <summary>Whether the run may stand in the line already: it was parked there, or may have been.</summary>
    public bool MayWaitInQueue { get; init; }

    /// <summary>
    /// Where the run is found while it waits; null where it cannot be parked, and is rescheduled instead. Asked only where it may have to wait,
    /// since it may cost a look into the store. For one that stands in the line already, the queue need not be known.
    /// </summary>
    public Func<bool, RunAddress?> Address { get; init; } = static _ => null;
}
