using JobLocks.Diagnostics;
using JobLocks.Gate;
using JobLocks.Quartz.Entering;
using Microsoft.Extensions.Logging;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Waiting;

/// <summary>
/// Puts a firing that has not begun back into the job store. Its trigger is held, or a stand-in replaces the firing while the original trigger continues its
/// schedule. If the store cannot be reached, the write is repeated until the scheduler closes, because the run would be lost otherwise. Thread-safe.
/// </summary>
internal sealed class PutBack(IJobStore store, ISchedulerSignaler signaler, TimeProvider clock, JobGate gate, LastFirings last, ILogger log, CancellationToken closing)
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan LastTry = TimeSpan.FromSeconds(1);

    /// <summary>Stores a waiting run, and marks its queue entry as parked.</summary>
    public async Task ParkAsync(FiredRun run, Admission.Waits waits)
    {
        if (!await StoreAsync(run, clock.GetUtcNow() + waits.StartsUnwokenAfter, waits.Reason, waits: true).ConfigureAwait(false)) return;

        try
        {
            await gate.MarkParkedAsync(waits.Entry).ConfigureAwait(false);
        }
        catch (Exception broken)
        {
            // The entry stays unmarked. A sweep asks the store and corrects it.
            log.CannotMarkParked(QuartzJobCall.IdOf(run.Bundle.JobDetail.Key, run.Id), broken);
        }
    }

    /// <summary>Stores a refused run, to be tried again at a later time.</summary>
    public async Task RescheduleAsync(FiredRun run, Admission.Refused refusal)
    {
        var dueAt = clock.GetUtcNow() + refusal.RetryAfter;
        if (await StoreAsync(run, dueAt, refusal.Reason).ConfigureAwait(false))
            log.Rescheduled(QuartzJobCall.IdOf(run.Bundle.JobDetail.Key, run.Id), dueAt, run.Stored.Key.ToString(), refusal.Reason);
    }

    /// <summary>Stores a run that was not refused, to be tried again.</summary>
    public Task RetryAsync(FiredRun run, TimeSpan after, string reason) => StoreAsync(run, clock.GetUtcNow() + after, reason).AsTask();

    private async ValueTask<bool> StoreAsync(FiredRun run, DateTimeOffset dueAt, string reason, bool waits = false)
    {
        var standIn = run.CanBeHeldUnderOwnKey ? null : StandInOf(run).Build(clock, run.Name, run.Stored, run.WasStartedBefore, dueAt, reason);
        if (standIn is null) HeldTrigger.Hold(run.Stored, HeldTrigger.AttemptOf(run.Bundle.Trigger), dueAt, waits);

        // After HoldAsync the run may already be woken. A retry therefore repeats only the writes that follow it.
        Func<CancellationToken, ValueTask>? rest = null;
        using var span = LockTraces.BeginStoring(QuartzJobCall.TraceIn(run.Stored.JobDataMap));
        for (var pause = FirstPause; ; pause = pause * 2 < LongestPause ? pause * 2 : LongestPause)
        {
            // An unresponsive store must not delay a shutdown.
            using var lastTry = closing.IsCancellationRequested ? new CancellationTokenSource(LastTry, clock) : null;
            try
            {
                var stop = lastTry?.Token ?? closing;
                if (standIn is not null) return await AddStandInAsync(run, standIn, reason, stop).ConfigureAwait(false);

                rest ??= await HoldAsync(run, stop).ConfigureAwait(false);
                await rest(stop).ConfigureAwait(false);
                return true;
            }
            catch (Exception broken) when (lastTry is null)
            {
                log.CannotReschedule(QuartzJobCall.IdOf(run.Bundle.JobDetail.Key, run.Id), pause.TotalSeconds, broken);
            }
            catch (Exception)
            {
                log.Dropped(QuartzJobCall.IdOf(run.Bundle.JobDetail.Key, run.Id), reason);
                return false;
            }

            await PauseAsync(pause).ConfigureAwait(false);
        }
    }

    private async Task PauseAsync(TimeSpan pause)
    {
        try
        {
            await Task.Delay(pause, clock, closing).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            // The scheduler closes. One last try follows.
        }
    }

    private static StandIn StandInOf(FiredRun run) =>
        new(run.Stored.Key, run.Due, run.Bundle.PreviousFireTimeUtc, run.Bundle.NextFireTimeUtc, run.Stored.FinalFireTimeUtc);

    /// <summary>
    /// Ends the firing and makes its trigger due again, in one transaction. What an operator has done to the trigger since it fired stays in effect.
    /// </summary>
    /// <returns>The remaining writes.</returns>
    private async ValueTask<Func<CancellationToken, ValueTask>> HoldAsync(FiredRun run, CancellationToken stop)
    {
        var key = run.Stored.Key;
        var isReplaced = await store.GetTrigger(key, stop).ConfigureAwait(false) is { } now && TriggerChanges.IsReplaced(run.Stored, now);
        // A trigger that has fired for the last time cannot be paused until it is held.
        var mayBePaused = !isReplaced && run.Bundle.NextFireTimeUtc is not null;
        var isPaused = mayBePaused && await IsPausedAsync(key, stop).ConfigureAwait(false);
        var pause = isPaused ? await store.GetTriggerPause(key, stop).ConfigureAwait(false) : null;

        // A replaced trigger keeps its new schedule, as if it had been replaced while the run waits.
        await store.FiringComplete(Ended(run, isReplaced ? SchedulerInstruction.NoInstruction : SchedulerInstruction.RetryTrigger), stop).ConfigureAwait(false);
        return isPaused ? rest => store.PauseAgainAsync(key, pause, rest)
            : mayBePaused ? rest => store.ResumeAloneAsync(key, rest)
            : rest => run.HasOtherFiringEnded ? StoreAgainAsync(run, rest) : default;
    }

    /// <summary>Stores the trigger again. The store may have removed it at the end of an earlier firing, and its job with it.</summary>
    private async ValueTask StoreAgainAsync(FiredRun run, CancellationToken stop)
    {
        if (await store.Exists(run.Stored.Key, stop).ConfigureAwait(false)) return;

        if (await store.Exists(run.Stored.JobKey, stop).ConfigureAwait(false)) await store.AddTrigger(run.Stored, cancellationToken: stop).ConfigureAwait(false);
        else await store.ScheduleJob(run.Bundle.JobDetail, run.Stored, stop).ConfigureAwait(false);
        await signaler.SignalSchedulingChange(run.Stored.NextFireTimeUtc, stop).ConfigureAwait(false);
    }

    private async ValueTask<bool> IsPausedAsync(TriggerKey key, CancellationToken stop) =>
        await store.GetTriggerState(key, stop).ConfigureAwait(false) == TriggerState.Paused;

    /// <summary>
    /// Stores the stand-in before the end of the firing: after a crash between the two writes, the run is in the store, and Quartz recovers the firing.
    /// </summary>
    private async ValueTask<bool> AddStandInAsync(FiredRun run, IOperableTrigger standIn, string reason, CancellationToken stop)
    {
        var isStored = await TryAddAsync(standIn, stop).ConfigureAwait(false);
        // The group of the stand-ins may be paused by PauseAll, while the original trigger was resumed.
        if (isStored && await IsPausedAsync(standIn.Key, stop).ConfigureAwait(false) && !await IsPausedAsync(run.Stored.Key, stop).ConfigureAwait(false))
            await store.ResumeTrigger(standIn.Key, stop).ConfigureAwait(false);
        var ended = Ended(run, SchedulerInstruction.NoInstruction);
        last.NoteEnd(ended);
        await store.FiringComplete(ended, stop).ConfigureAwait(false);
        if (!isStored) log.JobIsGone(QuartzJobCall.IdOf(run.Bundle.JobDetail.Key, run.Id), reason);
        else await signaler.SignalSchedulingChange(standIn.NextFireTimeUtc, stop).ConfigureAwait(false);
        return isStored;
    }

    private async ValueTask<bool> TryAddAsync(IOperableTrigger standIn, CancellationToken stop)
    {
        try
        {
            await store.AddTrigger(standIn, cancellationToken: stop).ConfigureAwait(false);
        }
        catch (ObjectAlreadyExistsException)
        {
            // An earlier try was stored, but its answer was lost. The name is unique, so the stored trigger is this one.
        }
        catch (JobPersistenceException) when (!closing.IsCancellationRequested)
        {
            if (await store.Exists(standIn.JobKey, stop).ConfigureAwait(false)) throw;

            return false;
        }

        return true;
    }

    private static TriggeredJobCompleteContext Ended(FiredRun run, SchedulerInstruction instruction) => new()
    {
        Trigger = run.Stored,
        JobDetail = FiredRun.NotPersisting(run.Bundle.JobDetail),
        Instruction = instruction,
        Outcome = ExecutionOutcome.NotExecuted,
    };
}
