using JobLocks.Gate;
using JobLocks.Quartz.Waiting;
using Microsoft.Extensions.Logging;
using Quartz;

namespace JobLocks.Quartz.Entering;

/// <summary>Acquires the locks of a run after the job store has fired it, while Quartz calls its listeners. Thread-safe.</summary>
internal sealed class ContextEntrance(JobGate gate, FiringDecisions decisions, ILogger log)
{
    /// <summary>Asks the gate, unless the firing already holds its locks. Null if the firing holds them or no rule requests a lock.</summary>
    /// <param name="context">The run.</param>
    /// <param name="runs">The store in which the run can be parked; null if it cannot be parked any more.</param>
    /// <exception cref="JobLockRuleException">A rule does not fit the run.</exception>
    public async ValueTask<Admission?> EnterAsync(IJobExecutionContext context, QuartzRuns? runs)
    {
        var id = context.FireInstanceId;
        if (decisions.Holds(id)) return null;

        // Releases what is left of lost locks.
        decisions.Release(id);
        if (QuartzJobCall.From(context, runs) is not { } call) return null;

        var admission = await AskAsync(call).ConfigureAwait(false);
        if (admission is Admission.Admitted admitted) decisions.Remember(id, admitted);
        return admission;
    }

    /// <summary>
    /// Acquires the locks for a second call within one firing, or if a lock was lost before the run began. Such a run cannot be parked any more.
    /// </summary>
    /// <exception cref="JobExecutionException">The run was refused.</exception>
    public async ValueTask EnterAgainAsync(IJobExecutionContext context)
    {
        if (await EnterAsync(context, runs: null).ConfigureAwait(false) is Admission.Refused refusal)
            throw new JobExecutionException(refusal.Reason, new JobLockConflictException(refusal.Reason));
    }

    private async ValueTask<Admission> AskAsync(JobCall call)
    {
        try
        {
            return await gate.TryEnterAsync(call, CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception broken) when (broken is not JobLockRuleException)
        {
            // A run never executes without its lock, but an error is no reason to drop it.
            log.Broke(call.JobId, broken);
            return QuartzJobCall.NoAnswer(call, broken);
        }
    }
}
