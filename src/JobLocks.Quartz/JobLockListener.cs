using JobLocks.Gate;
using JobLocks.Line;
using JobLocks.Naming;
using Microsoft.Extensions.Logging;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz;

/// <summary>
/// One object of one scheduler in four roles: the trigger listener decides, for only it may veto; the middleware surrounds the run;
/// the job listener and the scheduler listener release on the paths that never reach the middleware. No member lets an exception out:
/// Quartz would leave the other listeners unasked and drop the run.
/// </summary>
internal sealed class JobLockListener(JobGate gate, ILogger<JobLockListener> log, bool isMiddleware)
    : ITriggerListener, IJobListener, ISchedulerListener, IJobExecutionMiddleware
{
    public const string Name = "JobLocks";

    // Short, since a retry must fit before the next occurrence of a repeating trigger. The gate decides again anyway.
    private static readonly TimeSpan RetryAfterShutdown = TimeSpan.FromSeconds(1);

    private readonly RunningLocks _running = new();
    private readonly Rescheduling _rescheduling = new(log);
    private volatile QuartzRuns? _runs;

    string ITriggerListener.Name => Name;

    string IJobListener.Name => Name;

    string ISchedulerListener.Name => Name;

    /// <summary>True keeps the run from happening. Asked again by an immediate refire, whose lock is held all the time.</summary>
    async ValueTask<bool> ITriggerListener.VetoJobExecution(ITrigger trigger, IJobExecutionContext context, CancellationToken cancellationToken)
    {
        try
        {
            return await EnterAsync(context, mayWait: true).ConfigureAwait(false) switch
            {
                null or Admission.Admitted => false,
                Admission.Waits waits => await ParkAsync(context, waits).ConfigureAwait(false),
                Admission.Refused { What: OnConflict.Reschedule } refusal => await PutBackAsync(context, refusal).ConfigureAwait(false),
                Admission.Refused { What: OnConflict.Fail } refusal => await FailAsync(context, new JobLockConflictException(refusal.Reason)).ConfigureAwait(false),
                _ => true,
            };
        }
        catch (JobLockRuleException broken)
        {
            // No run ever starts under a wrong name.
            return await FailAsync(context, broken).ConfigureAwait(false);
        }
    }

    /// <summary>From here on the scheduler can interrupt the run.</summary>
    ValueTask IJobListener.JobToBeExecuted(IJobExecutionContext context, CancellationToken cancellationToken)
    {
        _running.WhenLost(context, Interrupt);
        return default;
    }

    /// <summary>Surrounds the job. A middleware around this one may call it twice in one firing: each time the lock is held or taken.</summary>
    async ValueTask IJobExecutionMiddleware.Invoke(IJobExecutionContext context, JobExecutionDelegate next, CancellationToken cancellationToken)
    {
        if (context.MergedJobDataMap.TryGetValue(DataKeys.PutOff, out var reason)) throw LeftToRetry(context, (string?)reason);

        await EnterAgainAsync(context).ConfigureAwait(false);
        var handle = JobLockHandle.Current = _running.Find(context.FireInstanceId);
        var isRefired = false;
        try
        {
            await next(context, cancellationToken).ConfigureAwait(false);
        }
        catch (JobExecutionException thrown) when (thrown.RefireImmediately)
        {
            isRefired = true;
            throw;
        }
        catch (OperationCanceledException stopped) when (handle is { Lost.IsCancellationRequested: true })
        {
            // A cancelled run counts as done for Quartz. This one is not done, and a retry policy may have it run again.
            throw new JobExecutionException($"The run was stopped. {handle.LostReason}", stopped);
        }
        finally
        {
            if (!isRefired) _running.Release(context.FireInstanceId);
        }
    }

    /// <summary>Another listener vetoed a run that we had admitted.</summary>
    ValueTask IJobListener.JobExecutionVetoed(IJobExecutionContext context, CancellationToken cancellationToken)
    {
        _running.Release(context.FireInstanceId);
        return default;
    }

    ValueTask IJobListener.JobWasExecuted(IJobExecutionContext context, JobExecutionException? jobException, CancellationToken cancellationToken)
    {
        _running.Release(context.FireInstanceId);
        return default;
    }

    /// <summary>A listener threw, and the run does not happen: nobody else is told.</summary>
    ValueTask ISchedulerListener.SchedulerError(IScheduler scheduler, SchedulerErrorContext errorContext, CancellationToken cancellationToken)
    {
        _running.Release(errorContext.FireInstanceId);
        return default;
    }

    /// <summary>Quartz logs what a listener throws here and goes on, so this can only tell. Jobs known at start-up are checked by <see cref="StartupCheck"/>.</summary>
    ValueTask ISchedulerListener.JobAdded(IScheduler scheduler, IJobDetail jobDetail, CancellationToken cancellationToken)
    {
        try
        {
            if (jobDetail.JobType.TryResolve(out var type)) DeclaredRules.Of(type);
        }
        catch (JobLockRuleException broken)
        {
            log.AddedWithBrokenRule(jobDetail.Key.ToString(), broken);
        }

        return default;
    }

    ValueTask ISchedulerListener.JobScheduled(IScheduler scheduler, ITrigger trigger, CancellationToken cancellationToken) =>
        JobLockHandle.Current is null || string.Equals(trigger.Key.Group, Rescheduling.Group, StringComparison.Ordinal) ? default : MadeAsync(scheduler, trigger);

    /// <summary>From here on, this node sees to the runs of its store that wait.</summary>
    ValueTask ISchedulerListener.SchedulerStarted(IScheduler scheduler, CancellationToken cancellationToken) => ServeAsync(scheduler);

    ValueTask ISchedulerListener.SchedulerShuttingDown(IScheduler scheduler, CancellationToken cancellationToken)
    {
        if (_runs is { } runs) gate.Forget(runs);
        return default;
    }

    /// <summary>One that is to run later is meant to.</summary>
    private async ValueTask MadeAsync(IScheduler scheduler, ITrigger trigger)
    {
        try
        {
            if (trigger.StartTimeUtc - scheduler.TimeProvider.GetUtcNow() > OwnJobs.Patience) return;

            if (await scheduler.GetJobDetail(trigger.JobKey, CancellationToken.None).ConfigureAwait(false) is { } job)
                gate.Made(() => QuartzJobCall.Of(job, trigger.JobDataMap));
        }
        catch (Exception unknown)
        {
            // Only a hint would have come of it. What is wrong with the job, its run will say.
            log.CannotLookAtMade(trigger.JobKey.ToString(), unknown);
        }
    }

    private async ValueTask ServeAsync(IScheduler scheduler)
    {
        if (_runs is { Id: not null }) return;

        var runs = _runs ??= new(scheduler);
        try
        {
            await runs.IdentifyAsync(CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception broken)
        {
            // It is tried again; meanwhile runs that should wait are rescheduled.
            log.CannotIdentify(scheduler.SchedulerName, broken);
        }

        gate.Serve(runs);
    }

    /// <summary>Asks the gate, unless the firing holds its locks already. Null where no rule asks for one.</summary>
    /// <exception cref="JobLockRuleException">A rule cannot work for this run.</exception>
    private async ValueTask<Admission?> EnterAsync(IJobExecutionContext context, bool mayWait)
    {
        var id = context.FireInstanceId;
        if (_running.Holds(id)) return null;

        _running.Release(id);
        await ServeAsync(context.Scheduler).ConfigureAwait(false);
        if (QuartzJobCall.From(context, _runs!) is not { } call) return null;

        var admission = await AskAsync(mayWait ? call : call with { Address = static _ => null }).ConfigureAwait(false);
        if (admission is Admission.Admitted admitted) _running.Remember(id, admitted);
        return admission;
    }

    /// <summary>For the second call within one firing, and for a lock that was lost before the run began: neither can be parked any more.</summary>
    private async ValueTask EnterAgainAsync(IJobExecutionContext context)
    {
        if (await EnterAsync(context, mayWait: false).ConfigureAwait(false) is Admission.Refused refusal)
            throw new JobExecutionException(refusal.Reason, new JobLockConflictException(refusal.Reason));

        _running.WhenLost(context, Interrupt);
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
            var retryAfter = call.Rules[0].RetryAfter;
            return new Admission.Refused(
                OnConflict.Reschedule, $"Rescheduled: the lock could not be asked for. {broken.Message} Next try in {retryAfter.TotalSeconds:0} s", retryAfter);
        }
    }

    private async ValueTask<bool> PutBackAsync(IJobExecutionContext context, Admission.Refused refusal) =>
        IsVetoedAfter(await _rescheduling.PutBackAsync(context, refusal).ConfigureAwait(false), context, refusal.Reason);

    private async ValueTask<bool> ParkAsync(IJobExecutionContext context, Admission.Waits waits)
    {
        var outcome = await _rescheduling.ParkAsync(context, waits).ConfigureAwait(false);
        if (outcome == Rescheduling.Outcome.Done) await TellLineAsync(context, waits.Place).ConfigureAwait(false);
        return IsVetoedAfter(outcome, context, waits.Reason);
    }

    private async ValueTask TellLineAsync(IJobExecutionContext context, LinePlace place)
    {
        try
        {
            await gate.ParkedAsync(place).ConfigureAwait(false);
        }
        catch (Exception broken)
        {
            // A sweep asks the store.
            log.CannotTellLine(QuartzJobCall.IdOf(context), broken);
        }
    }

    private bool IsVetoedAfter(Rescheduling.Outcome outcome, IJobExecutionContext context, string reason)
    {
        if (outcome == Rescheduling.Outcome.JobIsGone) log.JobIsGone(QuartzJobCall.IdOf(context), reason);
        if (outcome != Rescheduling.Outcome.ShuttingDown) return true;

        if (!isMiddleware)
        {
            log.Dropped(QuartzJobCall.IdOf(context), reason);
            return true;
        }

        // A veto would delete a one-shot trigger. Let through, the middleware can end the run in the one way that leaves it in the store.
        context.MergedJobDataMap[DataKeys.PutOff] = reason;
        return false;
    }

    /// <summary>A retry is written together with the end of this firing, which a store takes until the very end of a shutdown.</summary>
    private JobExecutionException LeftToRetry(IJobExecutionContext context, string? reason)
    {
        log.LeftToRetry(QuartzJobCall.IdOf(context), reason ?? "");
        ((IMutableTrigger)context.Trigger).RetryPolicy = RetryPolicy.Fixed(int.MaxValue, RetryAfterShutdown);
        return new($"The scheduler is shutting down, and another node will try again. {reason}");
    }

    /// <summary>Tells the scheduler listeners by hand, as a veto leaves no other trace of a failure.</summary>
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

    /// <summary>Called by the lock session, which waits for nobody.</summary>
    private void Interrupt(IJobExecutionContext context, JobLockHandle handle) => _ = Task.Run(() => InterruptAsync(context, handle));

    private async Task InterruptAsync(IJobExecutionContext context, JobLockHandle handle)
    {
        log.Interrupting(QuartzJobCall.IdOf(context), handle.ToString(), handle.Key.Value);
        try
        {
            await context.Scheduler.InterruptFireInstance(context.FireInstanceId, CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception broken)
        {
            log.CannotInterrupt(QuartzJobCall.IdOf(context), broken);
        }
    }
}
