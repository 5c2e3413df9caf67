using JobLocks.Gate;
using JobLocks.Quartz.Waiting;
using Microsoft.Extensions.Logging;
using Quartz;

namespace JobLocks.Quartz.Entering;

/// <summary>
/// One object of one scheduler in four roles: the trigger listener keeps refused runs from happening, for only it may veto; the middleware surrounds the
/// run; the job listener and the scheduler listener release on the paths that never reach the middleware. No member but the middleware lets an exception
/// out: Quartz would leave the other listeners unasked and drop the run.
/// </summary>
/// <param name="gate">Decides.</param>
/// <param name="running">What was decided.</param>
/// <param name="log">Where it is said.</param>
/// <param name="storesRuns">The runs of the scheduler's store that wait.</param>
/// <param name="vetoed">Decides at the veto, where the store of the scheduler has not done so; null where it has.</param>
internal sealed class JobLockListener(JobGate gate, RunningLocks running, ILogger<JobLockListener> log, Func<IScheduler, QuartzRuns> storesRuns, VetoedRuns? vetoed)
    : ITriggerListener, IJobListener, ISchedulerListener, IJobExecutionMiddleware
{
    public const string Name = "JobLocks";

    private readonly ContextEntrance _entrance = new(gate, running, log);
    private readonly ContinuationCheck? _continuations = vetoed is null ? null : new(log);
    private volatile QuartzRuns? _runs;

    string ITriggerListener.Name => Name;

    string IJobListener.Name => Name;

    string ISchedulerListener.Name => Name;

    /// <summary>True keeps the run from happening. Asked again by an immediate refire, whose lock is held all the time.</summary>
    async ValueTask<bool> ITriggerListener.VetoJobExecution(ITrigger trigger, IJobExecutionContext context, CancellationToken cancellationToken)
    {
        if (vetoed is null) return running.IsRefused(context.FireInstanceId) && running.FailureOf(context.FireInstanceId) is null;

        return await vetoed.IsVetoedAsync(context, await ServeAsync(context.Scheduler).ConfigureAwait(false)).ConfigureAwait(false);
    }

    /// <summary>From here on the scheduler can interrupt the run.</summary>
    ValueTask IJobListener.JobToBeExecuted(IJobExecutionContext context, CancellationToken cancellationToken)
    {
        _runs?.Threads.Begin(context.FireInstanceId);
        running.WhenLost(context, Interrupt);
        return default;
    }

    /// <summary>Surrounds the job. A middleware around this one may call it twice in one firing: each time the lock is held or taken.</summary>
    async ValueTask IJobExecutionMiddleware.Invoke(IJobExecutionContext context, JobExecutionDelegate next, CancellationToken cancellationToken)
    {
        if (running.FailureOf(context.FireInstanceId) is { } refused) throw refused;

        await _entrance.EnterAgainAsync(context).ConfigureAwait(false);
        running.WhenLost(context, Interrupt);
        var handle = JobLockHandle.Current = running.Find(context.FireInstanceId);
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
            if (!isRefired) Release(context);
        }
    }

    /// <summary>Another listener vetoed a run that was admitted.</summary>
    ValueTask IJobListener.JobExecutionVetoed(IJobExecutionContext context, CancellationToken cancellationToken)
    {
        running.Release(context.FireInstanceId);
        return default;
    }

    ValueTask IJobListener.JobWasExecuted(IJobExecutionContext context, JobExecutionException? jobException, CancellationToken cancellationToken)
    {
        _runs?.Threads.End(context.FireInstanceId);
        Release(context);
        return default;
    }

    /// <summary>A listener threw, and the run does not happen: nothing else is told.</summary>
    ValueTask ISchedulerListener.SchedulerError(IScheduler scheduler, SchedulerErrorContext errorContext, CancellationToken cancellationToken)
    {
        _runs?.Threads.End(errorContext.FireInstanceId);
        if (vetoed is not null) running.Release(errorContext.FireInstanceId);
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

    async ValueTask ISchedulerListener.JobScheduled(IScheduler scheduler, ITrigger trigger, CancellationToken cancellationToken)
    {
        if (_continuations is not null && trigger.Continuation.Parent is { } parent) await _continuations.CheckAsync(scheduler, trigger.Key, parent).ConfigureAwait(false);
        if (JobLockHandle.Current is not null && !StandIn.Is(trigger.Key)) await MadeAsync(scheduler, trigger).ConfigureAwait(false);
    }

    /// <summary>From here on, this node sees to the runs of its store that wait.</summary>
    async ValueTask ISchedulerListener.SchedulerStarted(IScheduler scheduler, CancellationToken cancellationToken)
    {
        gate.Serve(await ServeAsync(scheduler).ConfigureAwait(false));
        if (_continuations is not null) await _continuations.CheckAllAsync(scheduler).ConfigureAwait(false);
    }

    /// <summary>Others see to them meanwhile.</summary>
    ValueTask ISchedulerListener.SchedulerInStandbyMode(IScheduler scheduler, CancellationToken cancellationToken)
    {
        if (_runs is { } runs) gate.Serve(runs);
        return default;
    }

    ValueTask ISchedulerListener.SchedulerShuttingDown(IScheduler scheduler, CancellationToken cancellationToken)
    {
        if (_runs is { } runs) gate.Forget(runs);
        return default;
    }

    /// <summary>A job whose data the store has still to write keeps its lock until then, where the store is ours to watch.</summary>
    private void Release(IJobExecutionContext context)
    {
        if (vetoed is null && context.JobDetail.PersistJobDataAfterExecution) return;

        // Before others are woken: this thread may take the next run.
        _runs?.Threads.End(context.FireInstanceId);
        running.Release(context.FireInstanceId);
    }

    /// <summary>A job that is to run later is meant to.</summary>
    private async ValueTask MadeAsync(IScheduler scheduler, ITrigger trigger)
    {
        try
        {
            if (trigger.StartTimeUtc - scheduler.TimeProvider.GetUtcNow() > SelfWaits.Patience) return;

            if (await scheduler.GetJobDetail(trigger.JobKey, CancellationToken.None).ConfigureAwait(false) is { } job)
                gate.Made(() => QuartzJobCall.Of(job, trigger.JobDataMap));
        }
        catch (Exception unknown)
        {
            // Only a hint would have come of it. What is wrong with the job, its run will say.
            log.CannotLookAtMade(trigger.JobKey.ToString(), unknown);
        }
    }

    private async ValueTask<QuartzRuns> ServeAsync(IScheduler scheduler)
    {
        if (_runs is { Id: not null } known) return known;

        var runs = _runs ??= storesRuns(scheduler);
        runs.Scheduler = scheduler;
        try
        {
            runs.Threads.Count = (await scheduler.GetMetadata(CancellationToken.None).ConfigureAwait(false)).ThreadPoolSize;
            await runs.IdentifyAsync(CancellationToken.None).ConfigureAwait(false);
        }
        catch (Exception broken)
        {
            // It is tried again; meanwhile runs that should wait are rescheduled.
            log.CannotIdentify(scheduler.SchedulerName, broken);
        }

        gate.Serve(runs);
        return runs;
    }

    /// <summary>Returns at once, and needs no thread of the pool: jobs can have taken all of them.</summary>
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
