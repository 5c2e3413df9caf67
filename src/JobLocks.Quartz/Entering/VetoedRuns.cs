using JobLocks.Gate;
using JobLocks.Quartz.Waiting;
using Microsoft.Extensions.Logging;
using Quartz;

namespace JobLocks.Quartz.Entering;

/// <summary>
/// Decides for a scheduler that was built without JobLocks. There only a veto can prevent a run, and an additional trigger runs it later. Quartz treats
/// the veto as the end of the run, so continuations and overlap policies are not kept; docs/when-a-run-has-to-wait.md lists the effects. Thread-safe.
/// </summary>
internal sealed class VetoedRuns(ContextEntrance entrance, JobGate gate, ILogger log)
{
    private readonly ExtraTriggers _extraTriggers = new(log);

    /// <summary>Whether the run must not execute now.</summary>
    public async ValueTask<bool> IsVetoedAsync(IJobExecutionContext context, QuartzRuns runs)
    {
        try
        {
            if (context.JobDetail is { PersistJobDataAfterExecution: true, ConcurrentExecutionDisallowed: false } && QuartzJobCall.From(context, runs) is not null)
                throw new JobLockRuleException(
                    $"{context.JobDetail.Key} carries [PersistJobDataAfterExecution] and a lock, but this scheduler was built without JobLocks: Quartz writes the data after the "
                    + "lock is released, and an update would be lost. Call quartz.UseJobLocks(…) where the scheduler is built, or add [DisallowConcurrentExecution] to the job.");

            return await entrance.EnterAsync(context, runs).ConfigureAwait(false) switch
            {
                null or Admission.Admitted => false,
                Admission.Waits waits => await ParkAsync(context, waits).ConfigureAwait(false),
                Admission.Refused { Action: OnConflict.Reschedule } refusal => await RescheduleAsync(context, refusal).ConfigureAwait(false),
                Admission.Refused { Action: OnConflict.Fail } refusal => await FailAsync(context, new JobLockConflictException(refusal.Reason)).ConfigureAwait(false),
                _ => true,
            };
        }
        catch (JobLockRuleException broken)
        {
            // A run never executes under a wrong lock name.
            return await FailAsync(context, broken).ConfigureAwait(false);
        }
    }

    private async ValueTask<bool> ParkAsync(IJobExecutionContext context, Admission.Waits waits)
    {
        var outcome = await _extraTriggers.ParkAsync(context, waits).ConfigureAwait(false);
        if (outcome == ExtraTriggers.Outcome.Done) await MarkParkedAsync(context, waits).ConfigureAwait(false);
        LogLoss(outcome, context, waits.Reason);
        return true;
    }

    private async ValueTask<bool> RescheduleAsync(IJobExecutionContext context, Admission.Refused refusal)
    {
        LogLoss(await _extraTriggers.PutBackAsync(context, refusal).ConfigureAwait(false), context, refusal.Reason);
        return true;
    }

    private async ValueTask MarkParkedAsync(IJobExecutionContext context, Admission.Waits waits)
    {
        try
        {
            await gate.MarkParkedAsync(waits.Entry).ConfigureAwait(false);
        }
        catch (Exception broken)
        {
            // The entry stays unmarked. A sweep asks the store and corrects it.
            log.CannotMarkParked(QuartzJobCall.IdOf(context), broken);
        }
    }

    private void LogLoss(ExtraTriggers.Outcome outcome, IJobExecutionContext context, string reason)
    {
        if (outcome == ExtraTriggers.Outcome.JobIsGone) log.JobIsGone(QuartzJobCall.IdOf(context), reason);
        if (outcome == ExtraTriggers.Outcome.ShuttingDown) log.Dropped(QuartzJobCall.IdOf(context), reason);
    }

    /// <summary>Notifies the scheduler listeners directly, because a veto leaves no other trace of a failure.</summary>
    private async ValueTask<bool> FailAsync(IJobExecutionContext context, Exception cause)
    {
        log.Failed(QuartzJobCall.IdOf(context), cause);
        var error = new SchedulerErrorContext
        {
            Message = $"Job {context.JobDetail.Key} failed before it had begun. {cause.Message}",
            Exception = new SchedulerException(cause.Message, cause),
            TriggerKey = context.Trigger.Key,
            JobKey = context.JobDetail.Key,
            FireInstanceId = context.FireInstanceId,
        };

        foreach (var listener in context.Scheduler.ListenerManager.GetSchedulerListeners())
        {
            try
            {
                await listener.SchedulerError(context.Scheduler, error, CancellationToken.None).ConfigureAwait(false);
            }
            catch (Exception thrown)
            {
                log.ListenerThrew(listener.Name, QuartzJobCall.IdOf(context), thrown);
            }
        }

        return true;
    }
}
