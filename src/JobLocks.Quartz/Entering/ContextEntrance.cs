using JobLocks.Gate;
using JobLocks.Quartz.Waiting;
using Microsoft.Extensions.Logging;
using Quartz;

namespace JobLocks.Quartz.Entering;

/// <summary>Asks the gate for a run that Quartz has already begun to announce. Thread-safe.</summary>
internal sealed class ContextEntrance(JobGate gate, RunningLocks running, ILogger log)
{
    /// <summary>Asks the gate, unless the firing holds its locks already. Null where no rule asks for one.</summary>
    /// <param name="context">The run.</param>
    /// <param name="runs">The store, where the run may be parked; null where it is too late for that.</param>
    /// <exception cref="JobLockRuleException">A rule cannot work for this run.</exception>
    public async ValueTask<Admission?> EnterAsync(IJobExecutionContext context, QuartzRuns? runs)
    {
        var id = context.FireInstanceId;
        if (running.Holds(id)) return null;

        running.Release(id);
        if (QuartzJobCall.From(context, runs) is not { } call) return null;

        var admission = await AskAsync(call).ConfigureAwait(false);
        if (admission is Admission.Admitted admitted) running.Remember(id, admitted);
        return admission;
    }

    /// <summary>For the second call within one firing, and for a lock that was lost before the run began: neither can be parked any more.</summary>
    /// <exception cref="JobExecutionException">The run may not go on.</exception>
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
            // No lock, no run; and no answer is no reason to drop the run.
            log.Broke(call.JobId, broken);
            return QuartzJobCall.NoAnswer(call, broken);
        }
    }
}
