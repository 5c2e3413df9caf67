using JobLocks.Quartz.Waiting;
using Microsoft.Extensions.Logging;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Entering;

/// <summary>
/// What a trigger owes when its waiting firing has its locks at last, and when that run has ended: its schedule goes on as its overlap policy says, and
/// data that other runs have written meanwhile are read again. Thread-safe.
/// </summary>
internal sealed class Resumption(IJobStore store, IStoredTriggers triggers, ISchedulerSignaler signaler, Func<IScheduler?> scheduler, TimeProvider clock, ILogger log, CancellationToken closing)
{
    // More than that were skipped: listeners hear of the last ones.
    private const int MostSkipped = 100;

    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    /// <summary>A trigger that the store blocks while its run goes on needs no new time before the run ends.</summary>
    public static bool ResumesAtEnd(FiredRun run) =>
        run.Bundle.JobDetail.ConcurrentExecutionDisallowed || HeldTrigger.HasFixedDelay(run.Stored) || run.Stored.OverlapPolicy == OverlapPolicy.BufferOne;

    /// <summary>The run may begin. Its locks are held: what it is given now stays true.</summary>
    public async ValueTask<TriggerFiredBundle> AdmittedAsync(FiredRun run)
    {
        var bundle = run.Bundle;
        if (bundle.JobDetail.PersistJobDataAfterExecution && await store.GetJob(bundle.JobDetail.Key, CancellationToken.None).ConfigureAwait(false) is { } fresh)
            bundle = bundle with { JobDetail = fresh };

        if (run is not { WasHeld: true, StandIn: null }) return bundle;
        if (!ResumesAtEnd(run) && run.Stored.GetFireTimeAfter(run.Due) is not null) return await ResumeAsync(run, bundle).ConfigureAwait(false);

        // While the run goes on, its trigger is shown as any other, and another node that finds it fires its next occurrence.
        if (run.Stored.NextFireTimeUtc is not null) await ForgetMarkAsync(run).ConfigureAwait(false);
        else if (!HeldTrigger.HasFixedDelay(run.Stored) && FirstLate(run) is { } owed) return Owing(run, owed, bundle);
        return bundle;
    }

    /// <summary>
    /// The run has ended, and the store does not know it yet. It would remove a trigger without a next time, though occurrences of it came due while its
    /// firing waited.
    /// </summary>
    public async ValueTask BeforeAsync(FiredRun run, TriggeredJobCompleteContext ended)
    {
        if (run.Owed is { } owed && ended.Instruction == SchedulerInstruction.NoInstruction) await MoveAsync(run, owed, attempt: 0).ConfigureAwait(false);
    }

    /// <summary>The run has ended, and the store knows it.</summary>
    public async ValueTask AfterAsync(FiredRun run, TriggeredJobCompleteContext ended)
    {
        if (run.StandIn is not null)
        {
            await store.FiringComplete(Ending(run), CancellationToken.None).ConfigureAwait(false);
            return;
        }

        // Occurrences that came due while the firing waited: the store fires them late, or applies the misfire instruction.
        var mayBeLate = run is { WasHeld: true, Owed: null } && ResumesAtEnd(run) && !HeldTrigger.HasFixedDelay(run.Stored) && ended.Instruction == SchedulerInstruction.NoInstruction;
        if (!mayBeLate || FirstLate(run) is not { } next || next >= run.Stored.NextFireTimeUtc) return;

        if (await MoveAsync(run, next, attempt: 0).ConfigureAwait(false) == TriggerChange.Blocked) _ = MoveLaterAsync(run, next);
    }

    /// <summary>The firing is over that has not begun: its trigger has ended.</summary>
    public async Task EndAsync(FiredRun run)
    {
        run.Stored.NextFireTimeUtc = null;
        await store.FiringComplete(Ending(run), CancellationToken.None).ConfigureAwait(false);
        if (run.StandIn is null) await signaler.NotifySchedulerListenersFinalized(run.Stored, CancellationToken.None).ConfigureAwait(false);
    }

    /// <summary>A firing that replaces earlier ones of its trigger interrupts them, also where it has to wait for their locks.</summary>
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
                log.CannotInterrupt(superseded, broken);
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

    /// <summary>Another node may have fired the next occurrence meanwhile and put it off: then the mark is that occurrence's.</summary>
    private async ValueTask ForgetOwnMarkAsync(FiredRun run)
    {
        if (await triggers.FindAsync(run.Stored.Key, CancellationToken.None).ConfigureAwait(false) is { } now && HeldTrigger.IsPutOff(now)) run.KeepsMark = false;
        else await ForgetMarkAsync(run).ConfigureAwait(false);
    }

    private async ValueTask ForgetMarkAsync(FiredRun run)
    {
        await triggers.ForgetMarkAsync(run.Stored.Key, CancellationToken.None).ConfigureAwait(false);
        run.KeepsMark = false;
    }

    /// <summary>Quartz takes a trigger without a next time for finished, and says so when its run ends.</summary>
    private static TriggerFiredBundle Owing(FiredRun run, DateTimeOffset owed, TriggerFiredBundle bundle)
    {
        var shown = (IOperableTrigger)bundle.Trigger.Clone();
        shown.NextFireTimeUtc = run.Owed = owed;
        return bundle with { Trigger = shown, NextFireTimeUtc = owed };
    }

    private static DateTimeOffset? LatestBy(DateTimeOffset now, FiredRun run) => HeldTrigger.LastBefore(run.Stored, now.AddTicks(1)) is { } last && last > run.Due ? last : null;

    /// <summary>Where the schedule goes on: a policy that keeps one more occurrence keeps the latest one.</summary>
    private DateTimeOffset? FirstLate(FiredRun run) =>
        run.Stored.OverlapPolicy == OverlapPolicy.BufferOne ? LatestBy(clock.GetUtcNow(), run) : run.Stored.GetFireTimeAfter(run.Due);

    /// <summary>The policy counts the firing that waited as one that was under way.</summary>
    private async ValueTask<TriggerFiredBundle> ResumeAsync(FiredRun run, TriggerFiredBundle bundle)
    {
        var now = clock.GetUtcNow();
        var latest = LatestBy(now, run);
        var next = run.Stored.GetFireTimeAfter(now);
        if (run.Stored.OverlapPolicy == OverlapPolicy.Skip && latest is not null) await AnnounceSkippedAsync(run, now).ConfigureAwait(false);

        // Without a next time, the trigger leaves the store with this run.
        if (await MoveAsync(run, next, bundle.Trigger.RetryAttempt).ConfigureAwait(false) is not (TriggerChange.None or TriggerChange.Paused))
        {
            await ForgetOwnMarkAsync(run).ConfigureAwait(false);
            return bundle;
        }

        run.KeepsMark = false;
        bundle.Trigger.NextFireTimeUtc = next;
        if (run.Stored.OverlapPolicy != OverlapPolicy.CancelPrevious || latest is not { } newest) return bundle with { NextFireTimeUtc = next };

        bundle.Trigger.PreviousFireTimeUtc = newest;
        return bundle with { NextFireTimeUtc = next, ScheduledFireTimeUtc = newest, PreviousFireTimeUtc = HeldTrigger.LastBefore(run.Stored, newest) };
    }

    /// <summary>Another run of the job has begun at once, and the store holds this trigger back until it ends. Its lock may be waited for here, so nothing waits for it.</summary>
    private async Task MoveLaterAsync(FiredRun run, DateTimeOffset next)
    {
        try
        {
            do await Task.Delay(Pause, clock, closing).ConfigureAwait(false);
            while (await MoveAsync(run, next, attempt: 0).ConfigureAwait(false) == TriggerChange.Blocked);
        }
        catch (OperationCanceledException) when (closing.IsCancellationRequested)
        {
            // The schedule goes on with its next occurrence.
        }
        catch (Exception broken)
        {
            log.CannotPutBack(broken);
        }
    }

    /// <summary>Has the schedule go on from another occurrence, where it is still as it was fired.</summary>
    /// <returns>What kept it from that; a pause does not.</returns>
    private async ValueTask<TriggerChange> MoveAsync(FiredRun run, DateTimeOffset? next, int attempt)
    {
        var moved = (IOperableTrigger)run.Stored.Clone();
        moved.NextFireTimeUtc = next;
        moved.RetryAttempt = attempt;
        var change = await triggers.SinceReadAsync(run.Stored, CancellationToken.None).ConfigureAwait(false);
        if (change == TriggerChange.Paused) await store.KeepPausedAsync(moved.Key, WriteAsync, CancellationToken.None).ConfigureAwait(false);
        else if (change == TriggerChange.None) await WriteAsync().ConfigureAwait(false);
        return change;

        async ValueTask WriteAsync() => await triggers.MoveAsync(moved, CancellationToken.None).ConfigureAwait(false);
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
