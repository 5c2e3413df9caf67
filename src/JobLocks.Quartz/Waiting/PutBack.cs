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
internal sealed class PutBack(IJobStore store, ISchedulerSignaler signaler, TimeProvider clock, JobGate gate, ILogger log, CancellationToken closing)
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(5);

    /// <summary>Has the run wait in the queue.</summary>
    public async Task ParkAsync(FiredRun run, Admission.Waits waits)
    {
        if (!await StoreAsync(run, clock.GetUtcNow() + waits.AtMost, waits.Reason).ConfigureAwait(false)) return;

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

    private async ValueTask<bool> StoreAsync(FiredRun run, DateTimeOffset at, string reason)
    {
        var standIn = run.WaitsItself ? null : StandInFor(run).Build(clock, run.Name, run.Stored, run.WasStartedBefore, at, reason);
        if (standIn is null) HeldTrigger.Hold(run.Stored, HeldTrigger.AttemptOf(run.Bundle.Trigger), at);

        using var span = LockTraces.Store(QuartzJobCall.TraceIn(run.Stored.JobDataMap));
        for (var pause = FirstPause; ; pause = pause * 2 < LongestPause ? pause * 2 : LongestPause)
        {
            try
            {
                return standIn is null ? await HoldAsync(run).ConfigureAwait(false) : await StandInAsync(run, standIn, reason).ConfigureAwait(false);
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
    private async ValueTask<bool> HoldAsync(FiredRun run)
    {
        var isReplaced = await store.GetTrigger(run.Stored.Key, CancellationToken.None).ConfigureAwait(false) is { } now && TriggerChanges.IsReplaced(run.Stored, now);
        // A new schedule takes over, as it does while the run waits.
        if (isReplaced) await EndAsync(SchedulerInstruction.NoInstruction).ConfigureAwait(false);
        else if (await IsPausedAsync(run).ConfigureAwait(false))
            await store.KeepPausedAsync(run.Stored.Key, () => EndAsync(SchedulerInstruction.RetryTrigger), CancellationToken.None).ConfigureAwait(false);
        else await EndAsync(SchedulerInstruction.RetryTrigger).ConfigureAwait(false);
        return true;

        ValueTask EndAsync(SchedulerInstruction instruction) => store.FiringComplete(Ended(run, instruction), CancellationToken.None);
    }

    /// <summary>A trigger that has fired for the last time cannot be paused.</summary>
    private async ValueTask<bool> IsPausedAsync(FiredRun run) =>
        run.Bundle.NextFireTimeUtc is not null && await store.GetTriggerState(run.Stored.Key, CancellationToken.None).ConfigureAwait(false) == TriggerState.Paused;

    /// <summary>The stand-in first: a crash between the two writes leaves the run in the store, and the firing to Quartz's recovery.</summary>
    private async ValueTask<bool> StandInAsync(FiredRun run, IOperableTrigger standIn, string reason)
    {
        var isThere = await AddAsync(standIn).ConfigureAwait(false);
        await store.FiringComplete(Ended(run, SchedulerInstruction.NoInstruction), CancellationToken.None).ConfigureAwait(false);
        if (!isThere) log.JobIsGone(QuartzJobCall.IdOf(run.Bundle.JobDetail.Key, run.Id), reason);
        else await signaler.SignalSchedulingChange(standIn.NextFireTimeUtc, CancellationToken.None).ConfigureAwait(false);
        return isThere;
    }

    private async ValueTask<bool> AddAsync(IOperableTrigger standIn)
    {
        try
        {
            await store.AddTrigger(standIn, cancellationToken: CancellationToken.None).ConfigureAwait(false);
        }
        catch (ObjectAlreadyExistsException)
        {
            // An earlier try was stored, and its answer was lost on the way: the name is unique.
        }
        catch (JobPersistenceException) when (!closing.IsCancellationRequested)
        {
            if (await store.Exists(standIn.JobKey, CancellationToken.None).ConfigureAwait(false)) throw;

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
