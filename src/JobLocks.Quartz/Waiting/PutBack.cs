using JobLocks.Diagnostics;
using JobLocks.Gate;
using JobLocks.Quartz.Entering;
using Microsoft.Extensions.Logging;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Waiting;

/// <summary>
/// Puts a firing back into the job store that has not begun: its own trigger is held, or a stand-in waits for it while its own trigger goes on. A store
/// that cannot be reached is asked again until the scheduler closes, since the run would be lost otherwise. Thread-safe.
/// </summary>
internal sealed class PutBack(IJobStore store, ISchedulerSignaler signaler, TimeProvider clock, JobGate gate, LastFirings last, ILogger log, CancellationToken closing)
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan LastTry = TimeSpan.FromSeconds(1);

    /// <summary>Has the run wait in the queue.</summary>
    public async Task ParkAsync(FiredRun run, Admission.Waits waits)
    {
        if (!await StoreAsync(run, clock.GetUtcNow() + waits.AtMost, waits.Reason, waits: true).ConfigureAwait(false)) return;

        try
        {
            await gate.ParkedAsync(waits.Place).ConfigureAwait(false);
        }
        catch (Exception broken)
        {
            // A sweep asks the store.
            log.CannotTellLine(QuartzJobCall.IdOf(run.Bundle.JobDetail.Key, run.Id), broken);
        }
    }

    /// <summary>Has the run tried again later.</summary>
    public async Task RescheduleAsync(FiredRun run, Admission.Refused refusal)
    {
        var at = clock.GetUtcNow() + refusal.RetryAfter;
        if (await StoreAsync(run, at, refusal.Reason).ConfigureAwait(false))
            log.Rescheduled(QuartzJobCall.IdOf(run.Bundle.JobDetail.Key, run.Id), at, run.Stored.Key.ToString(), refusal.Reason);
    }

    /// <summary>Has the run tried again, though nothing refused it.</summary>
    public Task RetryAsync(FiredRun run, TimeSpan after, string reason) => StoreAsync(run, clock.GetUtcNow() + after, reason).AsTask();

    private async ValueTask<bool> StoreAsync(FiredRun run, DateTimeOffset at, string reason, bool waits = false)
    {
        var standIn = run.WaitsItself ? null : StandInFor(run).Build(clock, run.Name, run.Stored, run.WasStartedBefore, at, reason);
        if (standIn is null) HeldTrigger.Hold(run.Stored, HeldTrigger.AttemptOf(run.Bundle.Trigger), at, waits);

        // Once the run is held, it may be woken: only the rest is tried again.
        Func<CancellationToken, ValueTask>? rest = null;
        using var span = LockTraces.Store(QuartzJobCall.TraceIn(run.Stored.JobDataMap));
        for (var pause = FirstPause; ; pause = pause * 2 < LongestPause ? pause * 2 : LongestPause)
        {
            // A store that hangs must not hold up a shutdown.
            using var lastTry = closing.IsCancellationRequested ? new CancellationTokenSource(LastTry, clock) : null;
            try
            {
                var stop = lastTry?.Token ?? closing;
                if (standIn is not null) return await StandInAsync(run, standIn, reason, stop).ConfigureAwait(false);

                rest ??= await HoldAsync(run, stop).ConfigureAwait(false);
                await rest(stop).ConfigureAwait(false);
                return true;
            }
            catch (Exception broken) when (!closing.IsCancellationRequested)
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
            // One last try.
        }
    }

    private static StandIn StandInFor(FiredRun run) =>
        new(run.Stored.Key, run.Due, run.Bundle.PreviousFireTimeUtc, run.Bundle.NextFireTimeUtc, run.Stored.FinalFireTimeUtc);

    /// <summary>In one transaction the firing ends, and its trigger is due again. What an operator has done to the trigger since it fired holds.</summary>
    /// <returns>What is left to do then.</returns>
    private async ValueTask<Func<CancellationToken, ValueTask>> HoldAsync(FiredRun run, CancellationToken stop)
    {
        var key = run.Stored.Key;
        var isReplaced = await store.GetTrigger(key, stop).ConfigureAwait(false) is { } now && TriggerChanges.IsReplaced(run.Stored, now);
        // A trigger that has fired for the last time cannot be paused, until it is held.
        var mayBePaused = !isReplaced && run.Bundle.NextFireTimeUtc is not null;
        var isPaused = mayBePaused && await IsPausedAsync(key, stop).ConfigureAwait(false);
        var pause = isPaused ? await store.GetTriggerPause(key, stop).ConfigureAwait(false) : null;

        // A new schedule takes over, as it does while the run waits.
        await store.FiringComplete(Ended(run, isReplaced ? SchedulerInstruction.NoInstruction : SchedulerInstruction.RetryTrigger), stop).ConfigureAwait(false);
        return isPaused ? rest => store.PauseAgainAsync(key, pause, rest)
            : mayBePaused ? rest => store.ResumeAloneAsync(key, rest)
            : rest => run.IsLeftByOthers ? StoreAgainAsync(run, rest) : default;
    }

    /// <summary>The trigger may have left the store with an earlier firing, and its job with it.</summary>
    private async ValueTask StoreAgainAsync(FiredRun run, CancellationToken stop)
    {
        if (await store.Exists(run.Stored.Key, stop).ConfigureAwait(false)) return;

        if (await store.Exists(run.Stored.JobKey, stop).ConfigureAwait(false)) await store.AddTrigger(run.Stored, cancellationToken: stop).ConfigureAwait(false);
        else await store.ScheduleJob(run.Bundle.JobDetail, run.Stored, stop).ConfigureAwait(false);
        await signaler.SignalSchedulingChange(run.Stored.NextFireTimeUtc, stop).ConfigureAwait(false);
    }

    private async ValueTask<bool> IsPausedAsync(TriggerKey key, CancellationToken stop) =>
        await store.GetTriggerState(key, stop).ConfigureAwait(false) == TriggerState.Paused;

    /// <summary>The stand-in first: a crash between the two writes leaves the run in the store, and the firing to Quartz's recovery.</summary>
    private async ValueTask<bool> StandInAsync(FiredRun run, IOperableTrigger standIn, string reason, CancellationToken stop)
    {
        var isThere = await AddAsync(standIn, stop).ConfigureAwait(false);
        // The group of the stand-ins may be paused with all others, and the origin resumed by itself.
        if (isThere && await IsPausedAsync(standIn.Key, stop).ConfigureAwait(false) && !await IsPausedAsync(run.Stored.Key, stop).ConfigureAwait(false))
            await store.ResumeTrigger(standIn.Key, stop).ConfigureAwait(false);
        var ended = Ended(run, SchedulerInstruction.NoInstruction);
        last.OtherEnds(ended);
        await store.FiringComplete(ended, stop).ConfigureAwait(false);
        if (!isThere) log.JobIsGone(QuartzJobCall.IdOf(run.Bundle.JobDetail.Key, run.Id), reason);
        else await signaler.SignalSchedulingChange(standIn.NextFireTimeUtc, stop).ConfigureAwait(false);
        return isThere;
    }

    private async ValueTask<bool> AddAsync(IOperableTrigger standIn, CancellationToken stop)
    {
        try
        {
            await store.AddTrigger(standIn, cancellationToken: stop).ConfigureAwait(false);
        }
        catch (ObjectAlreadyExistsException)
        {
            // An earlier try was stored, and its answer was lost on the way: the name is unique.
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
