using JobLocks.Gate;
using JobLocks.Quartz.Waiting;
using Microsoft.Extensions.Logging;
using Quartz;

namespace JobLocks.Quartz.Entering;

/// <summary>
/// One listener object for each scheduler, with four roles. The trigger listener vetoes refused runs, because only a trigger listener can veto. The
/// middleware surrounds the run. The job listener and the scheduler listener release locks on the paths that never reach the middleware. Only the middleware
/// may throw: after an exception of a listener, Quartz does not call the other listeners, and drops the run.
/// </summary>
/// <param name="gate">Decides whether a run may begin.</param>
/// <param name="decisions">The decisions for the firings of the scheduler.</param>
/// <param name="log">The log.</param>
/// <param name="createRuns">Creates the run store for the scheduler's job store.</param>
/// <param name="vetoed">Decides at the veto, for a scheduler that was built without JobLocks; null if <see cref="LockingJobStore"/> has decided before.</param>
internal sealed class JobLockListener(JobGate gate, FiringDecisions decisions, ILogger<JobLockListener> log, Func<IScheduler, QuartzRuns> createRuns, VetoedRuns? vetoed)
    : ITriggerListener, IJobListener, ISchedulerListener, IJobExecutionMiddleware
{
    public const string Name = "JobLocks";

    private readonly ContextEntrance _entrance = new(gate, decisions, log);
    private readonly ContinuationCheck? _continuations = vetoed is null ? null : new(log);
    private volatile QuartzRuns? _runs;

    string ITriggerListener.Name => Name;

    string IJobListener.Name => Name;

    string ISchedulerListener.Name => Name;

    /// <summary>True vetoes the run. An immediate refire calls this again, while its lock is still held.</summary>
    async ValueTask<bool> ITriggerListener.VetoJobExecution(ITrigger trigger, IJobExecutionContext context, CancellationToken cancellationToken)
    {
        // A run that waits in its thread is decided now. One whose lock does not become free in time is put back at its end, which follows the veto.
        if (vetoed is null)
            return await decisions.IsPutBackAsync(context.FireInstanceId).ConfigureAwait(false)
                || (decisions.IsRefused(context.FireInstanceId) && decisions.FailureOf(context.FireInstanceId) is null);

        return await vetoed.IsVetoedAsync(context, await AddStoreAsync(context.Scheduler).ConfigureAwait(false)).ConfigureAwait(false);
    }

    /// <summary>From this call on, the scheduler can interrupt the run.</summary>
    ValueTask IJobListener.JobToBeExecuted(IJobExecutionContext context, CancellationToken cancellationToken)
    {
        _runs?.Threads.Begin(context.FireInstanceId);
        decisions.WhenLost(context, Interrupt);
        return default;
    }

    /// <summary>Surrounds the job. An outer middleware may call this twice in one firing. Each call ensures that the lock is held.</summary>
    async ValueTask IJobExecutionMiddleware.Invoke(IJobExecutionContext context, JobExecutionDelegate next, CancellationToken cancellationToken)
    {
        if (decisions.FailureOf(context.FireInstanceId) is { } refused) throw refused;

        await _entrance.EnterAgainAsync(context).ConfigureAwait(false);
        decisions.WhenLost(context, Interrupt);
        var handle = JobLockHandle.Current = decisions.FirstHandleOf(context.FireInstanceId);
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
            // Quartz considers a cancelled run complete. This run is not complete: with the exception, a retry policy can run it again.
            throw new JobExecutionException($"The run was stopped. {handle.LostReason}", stopped);
        }
        finally
        {
            if (!isRefired) Release(context);
        }
    }

    /// <summary>Another listener vetoed an admitted run.</summary>
    ValueTask IJobListener.JobExecutionVetoed(IJobExecutionContext context, CancellationToken cancellationToken)
    {
        decisions.Release(context.FireInstanceId);
        return default;
    }

    ValueTask IJobListener.JobWasExecuted(IJobExecutionContext context, JobExecutionException? jobException, CancellationToken cancellationToken)
    {
        _runs?.Threads.End(context.FireInstanceId);
        Release(context);
        return default;
    }

    /// <summary>If a listener threw, this is the only call for the run, which does not execute. Also called when a job failed; that is harmless.</summary>
    ValueTask ISchedulerListener.SchedulerError(IScheduler scheduler, SchedulerErrorContext errorContext, CancellationToken cancellationToken)
    {
        _runs?.Threads.End(errorContext.FireInstanceId);
        if (vetoed is not null) decisions.Release(errorContext.FireInstanceId);
        return default;
    }

    /// <summary>
    /// Quartz logs an exception that is thrown here and continues, so an invalid rule is only logged. <see cref="StartupCheck"/> checks the jobs that exist
    /// at startup.
    /// </summary>
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

    async ValueTask ISchedulerListener.JobScheduled(IScheduler scheduler, ITrigger trigger, CancellationToken cancellationToken)
    {
        if (_continuations is not null && trigger.Continuation.Parent is { } parent) await _continuations.CheckAsync(scheduler, trigger.Key, parent).ConfigureAwait(false);
        if (JobLockHandle.Current is not null && !StandIn.Is(trigger.Key)) await CheckSelfWaitAsync(scheduler, trigger).ConfigureAwait(false);
    }

    /// <summary>From this call on, this node wakes the waiting runs of its store.</summary>
    async ValueTask ISchedulerListener.SchedulerStarted(IScheduler scheduler, CancellationToken cancellationToken)
    {
        gate.AddStore(await AddStoreAsync(scheduler).ConfigureAwait(false));
        if (_continuations is not null) await _continuations.CheckAllAsync(scheduler).ConfigureAwait(false);
    }

    /// <summary>Makes the wait queue check this node again: in standby it starts no runs, and other nodes wake them.</summary>
    ValueTask ISchedulerListener.SchedulerInStandbyMode(IScheduler scheduler, CancellationToken cancellationToken)
    {
        if (_runs is { } runs) gate.AddStore(runs);
        return default;
    }

    ValueTask ISchedulerListener.SchedulerShuttingDown(IScheduler scheduler, CancellationToken cancellationToken)
    {
        if (_runs is { } runs)
        {
            runs.OnShuttingDown();
            gate.RemoveStore(runs);
        }

        return default;
    }

    /// <summary>Releases the locks of a run. With <see cref="LockingJobStore"/>, a job whose data are still to be stored keeps its locks until then.</summary>
    private void Release(IJobExecutionContext context)
    {
        if (vetoed is null && context.JobDetail.PersistJobDataAfterExecution) return;

        // Counts the thread as free before the release wakes other runs: this thread may execute one of them.
        _runs?.Threads.End(context.FireInstanceId);
        decisions.Release(context.FireInstanceId);
    }

    /// <summary>Reports a job that was scheduled by a run, for the detection of self-waits. A job that is scheduled for much later is no self-wait.</summary>
    private async ValueTask CheckSelfWaitAsync(IScheduler scheduler, ITrigger trigger)
    {
        try
        {
            if (trigger.StartTimeUtc - scheduler.TimeProvider.GetUtcNow() > SelfWaits.WarningDelay) return;

            if (await scheduler.GetJobDetail(trigger.JobKey, CancellationToken.None).ConfigureAwait(false) is { } job)
                gate.OnJobCreated(() => QuartzJobCall.Of(job, trigger.JobDataMap));
        }
        catch (Exception unknown)
        {
            // The check only logs a hint. The run of the job reports what is wrong with its rules.
            log.CannotCheckSelfWait(trigger.JobKey.ToString(), unknown);
        }
    }

    private async ValueTask<QuartzRuns> AddStoreAsync(IScheduler scheduler)
    {
        if (_runs is { Id: not null } known) return known;

        // Several firings may call this at the same time. All must get the same QuartzRuns.
        var runs = _runs ?? Interlocked.CompareExchange(ref _runs, createRuns(scheduler), comparand: null) ?? _runs!;
        runs.Scheduler = scheduler;
        try
        {
            runs.Threads.Count = (await scheduler.GetMetadata(CancellationToken.None).ConfigureAwait(false)).ThreadPoolSize;
            await runs.IdentifyAsync(CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception broken)
        {
            // The next call tries again. Until then, runs that should wait are rescheduled.
            log.CannotIdentify(scheduler.SchedulerName, broken);
        }

        gate.AddStore(runs);
        return runs;
    }

    /// <summary>Interrupts a run whose lock is lost. Returns at once, and needs no thread of the pool: jobs may occupy all of them.</summary>
    private void Interrupt(IJobExecutionContext context, JobLockHandle handle) =>
        _ = Task.Factory.StartNew(() => InterruptAsync(context, handle), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

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
