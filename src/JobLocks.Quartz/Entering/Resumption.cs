using JobLocks.Quartz.Waiting;
using Microsoft.Extensions.Logging;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Entering;

/// <summary>
/// Lets the schedule of a trigger continue after its firing has waited: when the firing has acquired its locks, and when the run has ended. The schedule
/// continues as the overlap policy requires, and data that other runs have stored meanwhile are read again. Thread-safe.
/// </summary>
internal sealed class Resumption(IJobStore store, IStoredTriggers triggers, ISchedulerSignaler signaler, Func<IScheduler?> scheduler, TimeProvider clock, ILogger log, CancellationToken closing)
{
    // The largest number of skipped occurrences of which listeners are notified.
    private const int MostSkipped = 100;

    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    /// <summary>Whether the schedule continues only when the run ends. Such a trigger fires nothing during the run, so it needs no new time before.</summary>
    public static bool ResumesAtEnd(FiredRun run) =>
        run.Bundle.JobDetail.ConcurrentExecutionDisallowed || HeldTrigger.HasFixedDelay(run.Stored) || run.Stored.OverlapPolicy == OverlapPolicy.BufferOne;

    /// <summary>Prepares an admitted run. Its locks are held, so the data that it gets here stay valid.</summary>
    public async ValueTask<TriggerFiredBundle> AdmittedAsync(FiredRun run)
    {
        var bundle = run.Bundle;
        if (bundle.JobDetail.PersistJobDataAfterExecution && await store.GetJob(bundle.JobDetail.Key, CancellationToken.None).ConfigureAwait(false) is { } fresh)
            bundle = bundle with { JobDetail = fresh };

        if (run is not { WasHeld: true, StandIn: null }) return bundle;
        if (!ResumesAtEnd(run) && run.Stored.GetFireTimeAfter(run.Due) is not null) return await ResumeAsync(run, bundle).ConfigureAwait(false);

        // Clears the mark, so that every node treats the trigger as an ordinary one, and its next occurrence as a new firing.
        if (run.Stored.NextFireTimeUtc is not null) await ClearMarkAsync(run).ConfigureAwait(false);
        else if (!HeldTrigger.HasFixedDelay(run.Stored) && NextOccurrence(run) is { } missed) return WithNextTime(run, missed, bundle);
        return bundle;
    }

    /// <summary>
    /// Prepares the trigger before the end of the run is written to the store. Otherwise the store would remove a trigger without a next time, although
    /// occurrences of it became due while its firing waited.
    /// </summary>
    public async ValueTask BeforeAsync(FiredRun run, TriggeredJobCompleteContext ended)
    {
        if (run.ResumesAt is { } missed && ended.Instruction == SchedulerInstruction.NoInstruction) await MoveAsync(run, missed, attempt: 0).ConfigureAwait(false);
    }

    /// <summary>Completes the end of the run after it was written to the store.</summary>
    public async ValueTask AfterAsync(FiredRun run, TriggeredJobCompleteContext ended)
    {
        if (run.StandIn is not null)
        {
            await store.FiringComplete(Ending(run), CancellationToken.None).ConfigureAwait(false);
            return;
        }

        // Occurrences that became due while the firing waited: the store fires them late, or applies the misfire instruction.
        var mayBeLate = run is { WasHeld: true, ResumesAt: null } && ResumesAtEnd(run) && !HeldTrigger.HasFixedDelay(run.Stored) && ended.Instruction == SchedulerInstruction.NoInstruction;
        if (!mayBeLate || NextOccurrence(run) is not { } next || next >= run.Stored.NextFireTimeUtc) return;

        if (await MoveAsync(run, next, attempt: 0).ConfigureAwait(false) == TriggerChange.Blocked) _ = MoveLaterAsync(run, next);
    }

    /// <summary>Ends a firing that has not begun, because its trigger has ended.</summary>
    public async Task EndAsync(FiredRun run)
    {
        run.Stored.NextFireTimeUtc = null;
        await store.FiringComplete(Ending(run), CancellationToken.None).ConfigureAwait(false);
        if (run.StandIn is null) await signaler.NotifySchedulerListenersFinalized(run.Stored, CancellationToken.None).ConfigureAwait(false);
    }

    /// <summary>Interrupts the runs that a firing supersedes, even if the firing has to wait for their locks.</summary>
    public async ValueTask InterruptSupersededAsync(FiredRun run)
    {
        foreach (var superseded in run.Bundle.SupersededFireInstanceIds ?? [])
        {
            try
            {
                if (scheduler() is { } running) await running.InterruptFireInstance(superseded, CancellationToken.None).ConfigureAwait(false);
            }
            catch (Exception broken)
            {
                log.CannotInterrupt(QuartzJobCall.IdOf(run.Bundle.JobDetail.Key, superseded), broken);
            }
        }
    }

    private static TriggeredJobCompleteContext Ending(FiredRun run) => new()
    {
        Trigger = run.Stored,
        JobDetail = FiredRun.NotPersisting(run.Bundle.JobDetail),
        Instruction = SchedulerInstruction.DeleteTrigger,
        Outcome = ExecutionOutcome.NotExecuted,
    };

    /// <summary>
    /// Clears the mark, unless another node has fired the next occurrence meanwhile and put it back: the mark then belongs to that occurrence.
    /// </summary>
    private async ValueTask ClearOwnMarkAsync(FiredRun run)
    {
        if (await triggers.FindAsync(run.Stored.Key, CancellationToken.None).ConfigureAwait(false) is { } now && HeldTrigger.IsNotWoken(now)) run.KeepsMark = false;
        else await ClearMarkAsync(run).ConfigureAwait(false);
    }

    private async ValueTask ClearMarkAsync(FiredRun run)
    {
        await triggers.ClearMarkAsync(run.Stored.Key, CancellationToken.None).ConfigureAwait(false);
        run.KeepsMark = false;
    }

    /// <summary>Shows the run a trigger with a next time: Quartz considers a trigger without one complete, and reports that when the run ends.</summary>
    private static TriggerFiredBundle WithNextTime(FiredRun run, DateTimeOffset missed, TriggerFiredBundle bundle)
    {
        var trigger = (IOperableTrigger)bundle.Trigger.Clone();
        trigger.NextFireTimeUtc = run.ResumesAt = missed;
        return bundle with { Trigger = trigger, NextFireTimeUtc = missed };
    }

    private static DateTimeOffset? LatestBy(DateTimeOffset now, FiredRun run) => HeldTrigger.LastBefore(run.Stored, now.AddTicks(1)) is { } last && last > run.Due ? last : null;

    /// <summary>The occurrence with which the schedule continues. A policy that buffers one occurrence continues with the latest that is due.</summary>
    private DateTimeOffset? NextOccurrence(FiredRun run) =>
        run.Stored.OverlapPolicy == OverlapPolicy.BufferOne ? LatestBy(clock.GetUtcNow(), run) : run.Stored.GetFireTimeAfter(run.Due);

    /// <summary>Lets the schedule continue when the run begins. The overlap policy counts the waiting firing as a run in progress.</summary>
    private async ValueTask<TriggerFiredBundle> ResumeAsync(FiredRun run, TriggerFiredBundle bundle)
    {
        var now = clock.GetUtcNow();
        var latest = LatestBy(now, run);
        var next = run.Stored.GetFireTimeAfter(now);
        if (run.Stored.OverlapPolicy == OverlapPolicy.Skip && latest is not null) await AnnounceSkippedAsync(run, now).ConfigureAwait(false);

        // If there is no next time, the store removes the trigger with the end of this run.
        if (await MoveAsync(run, next, bundle.Trigger.RetryAttempt).ConfigureAwait(false) is not (TriggerChange.None or TriggerChange.Paused))
        {
            await ClearOwnMarkAsync(run).ConfigureAwait(false);
            return bundle;
        }

        run.KeepsMark = false;
        bundle.Trigger.NextFireTimeUtc = next;
        if (run.Stored.OverlapPolicy != OverlapPolicy.CancelPrevious || latest is not { } newest) return bundle with { NextFireTimeUtc = next };

        bundle.Trigger.PreviousFireTimeUtc = newest;
        return bundle with { NextFireTimeUtc = next, ScheduledFireTimeUtc = newest, PreviousFireTimeUtc = HeldTrigger.LastBefore(run.Stored, newest) };
    }

    /// <summary>
    /// Moves the trigger when the store no longer blocks it. The next run of the job has begun and blocks the trigger until it ends. It may wait for the lock
    /// that the ending run still holds, so waiting here would deadlock: the move is repeated in the background.
    /// </summary>
    private async Task MoveLaterAsync(FiredRun run, DateTimeOffset next)
    {
        try
        {
            do await Task.Delay(Pause, clock, closing).ConfigureAwait(false);
            while (await MoveAsync(run, next, attempt: 0).ConfigureAwait(false) == TriggerChange.Blocked);
        }
        catch (OperationCanceledException) when (closing.IsCancellationRequested)
        {
            // The schedule continues with its next occurrence.
        }
        catch (Exception broken)
        {
            log.CannotContinueSchedule(run.Stored.Key.ToString(), broken);
        }
    }

    /// <summary>Lets the schedule continue with another occurrence, if the trigger is unchanged since it fired.</summary>
    /// <returns>The change that was found. The time was written if it is <see cref="TriggerChange.None"/> or <see cref="TriggerChange.Paused"/>.</returns>
    private async ValueTask<TriggerChange> MoveAsync(FiredRun run, DateTimeOffset? next, int attempt)
    {
        var moved = (IOperableTrigger)run.Stored.Clone();
        moved.NextFireTimeUtc = next;
        moved.RetryAttempt = attempt;
        var change = await triggers.CompareWithStoredAsync(run.Stored, CancellationToken.None).ConfigureAwait(false);
        if (change == TriggerChange.Paused) await store.KeepPausedAsync(moved.Key, WriteAsync, CancellationToken.None).ConfigureAwait(false);
        else if (change == TriggerChange.None) await WriteAsync().ConfigureAwait(false);
        return change;

        async ValueTask WriteAsync() => await triggers.WriteNextTimeAsync(moved, CancellationToken.None).ConfigureAwait(false);
    }

    private async ValueTask AnnounceSkippedAsync(FiredRun run, DateTimeOffset until)
    {
        var from = run.Due;
        for (var left = MostSkipped; left > 0 && run.Stored.GetFireTimeAfter(from) is { } skipped && skipped <= until; left--)
        {
            var trigger = (IOperableTrigger)run.Stored.Clone();
            trigger.NextFireTimeUtc = skipped;
            await signaler.NotifyTriggerListenersSkipped(trigger, CancellationToken.None).ConfigureAwait(false);
            from = skipped;
        }
    }
}
