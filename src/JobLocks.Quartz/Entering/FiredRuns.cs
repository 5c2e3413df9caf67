using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using JobLocks.Gate;
using JobLocks.Quartz.Waiting;
using Microsoft.Extensions.Logging;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Entering;

/// <summary>
/// Asks the gate about the runs that the job store has just fired, before any listener of Quartz is called. A run that has to wait is put back into
/// the store in the background, without a listener call, a job instance or a worker. Thread-safe.
/// </summary>
internal sealed class FiredRuns(JobGate gate, QuartzRuns runs, PutBack putBack, Resumption resumption, LastFirings last, FiringDecisions decisions, IJobStore store, ILogger log)
{
    private static readonly TimeSpan LongestPark = TimeSpan.FromSeconds(5);

    private readonly ConcurrentDictionary<string, FiredRun> _tracked = new(StringComparer.Ordinal);
    private readonly PendingStoreWrites _writes = new(log);
    private readonly FiringRequests _requests = new(gate, runs, log);
    private readonly RunsInThreads _inThreads = new(decisions, run => IsRemovedAsync(store, run));

    /// <summary>Replaces the results of runs that must not begin now. A shutdown waits until this is done.</summary>
    public async ValueTask DecideAsync(List<TriggerFiredResult> results)
    {
        if (results.Count > 0) await _writes.RunTrackedAsync(() => DecideEachAsync(results)).ConfigureAwait(false);
    }

    /// <summary>Handles the end of a firing: first writes the end to the store, for the original trigger, then releases the lock.</summary>
    public async ValueTask EndAsync(TriggeredJobCompleteContext ended, CancellationToken stop)
    {
        var id = ended.Trigger.FireInstanceId ?? "";
        if (await _inThreads.TryTakePutBackAsync(id).ConfigureAwait(false) is var (putBackRun, answer))
        {
            DeclineInBackground(putBackRun, PutBackAsync(putBackRun, answer));
            decisions.End(id);
            return;
        }

        _tracked.TryRemove(id, out var run);
        last.Forget(id);
        last.NoteEnd(ended);
        try
        {
            await store.FiringComplete(await PrepareEndAsync(decisions.IsRefused(id) ? NotPersisting(ended) : WithoutMark(ended, run), run, stop).ConfigureAwait(false), stop).ConfigureAwait(false);
            if (run is not null) await resumption.AfterAsync(run, ended).ConfigureAwait(false);
        }
        finally
        {
            runs.Threads.End(id);
            decisions.End(id);
        }
    }

    /// <summary>The firing as the application sees it: the firing of a stand-in shows the original trigger.</summary>
    public FireInstance AsApplicationSees(FireInstance firing) =>
        _tracked.TryGetValue(firing.FireInstanceId, out var run) && (run.WasHeld || run.StandIn is not null) ? firing with { TriggerKey = run.Bundle.Trigger.Key, ScheduledFireTimeUtc = run.Due } : firing;

    /// <summary>Whether a run of this trigger was fired by a stand-in, and has not ended.</summary>
    public bool IsRunByStandIn(TriggerKey origin) => _tracked.Values.Any(run => run.StandIn is { } standIn && standIn.Origin.Equals(origin));

    /// <summary>Waits until every run that was put back is in the store.</summary>
    public Task DrainAsync() => _writes.DrainAsync();

    private async ValueTask DecideEachAsync(List<TriggerFiredResult> results)
    {
        List<(int Index, FiringRequest Request)>? requests = null;
        for (var i = 0; i < results.Count; i++)
        {
            if (results[i].TriggerFiredBundle is not { } bundle) continue;

            runs.Threads.BeginDecision(bundle.Trigger.FireInstanceId ?? "");
            var run = await FiredRun.OfAsync(bundle, store, CancellationToken.None).ConfigureAwait(false);
            if (run.Bundle != bundle) results[i] = TriggerFiredResult.Fired(run.Bundle);
            if (run.WasHeld || run.StandIn is not null || run.Attempt > 0) _tracked[run.Id] = run;
            await last.WatchAsync(run).ConfigureAwait(false);
            if (await MustNotStartAsync(run).ConfigureAwait(false)) results[i] = TriggerFiredResult.Declined;
            else if (TryCall(run, out var call)) (requests ??= []).Add((i, _requests.Ask(run, call)));
            else runs.Threads.EndDecision(run.Id);
        }

        if (requests is null) return;

        await _requests.WaitForAnswersAsync(requests.Select(static asked => asked.Request)).ConfigureAwait(false);
        foreach (var (i, request) in requests) results[i] = await ResultAsync(request).ConfigureAwait(false);
    }

    /// <summary>
    /// Prepares the trigger for the end, and returns what to write. If the store cannot be asked, the end is unchanged; its write waits until the store is
    /// reachable.
    /// </summary>
    private async ValueTask<TriggeredJobCompleteContext> PrepareEndAsync(TriggeredJobCompleteContext ended, FiredRun? run, CancellationToken stop)
    {
        if (run is null) return ended;

        try
        {
            await resumption.BeforeAsync(run, ended).ConfigureAwait(false);
            return await store.KeepMarkOfHeldAsync(ended, run, stop).ConfigureAwait(false);
        }
        catch (Exception broken) when (!stop.IsCancellationRequested)
        {
            log.CannotContinueSchedule(run.Stored.Key.ToString(), broken);
            return ended;
        }
    }

    private static TriggeredJobCompleteContext NotPersisting(TriggeredJobCompleteContext refused) => new()
    {
        Trigger = refused.Trigger,
        JobDetail = FiredRun.NotPersisting(refused.JobDetail),
        Instruction = refused.Instruction,
        Outcome = refused.Outcome,
        Exception = refused.Exception,
    };

    /// <summary>
    /// Makes the store clear the mark with the end of the run, if the schedule continues only then. A trigger without a next time has kept its mark during the run.
    /// </summary>
    private static TriggeredJobCompleteContext WithoutMark(TriggeredJobCompleteContext ended, FiredRun? run)
    {
        if (run is { WasHeld: true, StandIn: null } && Resumption.ResumesAtEnd(run) && ended.Instruction != SchedulerInstruction.RetryTrigger) HeldTrigger.ClearMarkAtEnd(ended.Trigger);
        return ended;
    }

    private bool TryCall(FiredRun run, [NotNullWhen(true)] out JobCall? call)
    {
        try
        {
            return (call = run.Call(runs)) is not null;
        }
        catch (Exception broken)
        {
            // A run never executes under a wrong lock name. Other firings of the same batch must not be affected.
            decisions.Refuse(run.Id, broken);
            call = null;
            return false;
        }
    }

    private async ValueTask<TriggerFiredResult> ResultAsync(FiringRequest request)
    {
        var (run, call, answer, kept) = request;
        if (!answer.IsCompleted) request.Decline();
        if (!answer.IsCompleted && kept.IsCompletedSuccessfully)
        {
            // A shutdown waits for the decision, and for the write that may follow it.
            _writes.Add(_inThreads.Add(run, answer), static () => { });
            return TriggerFiredResult.Fired(run.Bundle);
        }

        if (!answer.IsCompleted) return await DeclineAsync(run, HandleLateAnswerAsync(run, call, answer)).ConfigureAwait(false);

        try
        {
            switch (await answer.ConfigureAwait(false))
            {
                case Admission.Admitted admitted:
                    decisions.Remember(run.Id, admitted);
                    return TriggerFiredResult.Fired(await resumption.AdmittedAsync(run).ConfigureAwait(false));
                case Admission.Refused { Action: OnConflict.Skip }:
                    decisions.Refuse(run.Id, failure: null);
                    return TriggerFiredResult.Fired(run.Bundle);
                case Admission.Refused { Action: OnConflict.Fail } refused:
                    decisions.Refuse(run.Id, new JobLockConflictException(refused.Reason));
                    return TriggerFiredResult.Fired(run.Bundle);
                case var later:
                    return await DeclineAsync(run, PutBackAsync(run, later)).ConfigureAwait(false);
            }
        }
        catch (JobLockRuleException broken)
        {
            decisions.Refuse(run.Id, broken);
            return TriggerFiredResult.Fired(run.Bundle);
        }
        catch (Exception broken)
        {
            // The exception must not reach Quartz, or the other runs that the store has fired would be lost.
            log.StoreFailed(QuartzJobCall.IdOf(run.Bundle.JobDetail.Key, run.Id), broken);
            decisions.End(run.Id);
            return await DeclineAsync(run, putBack.RetryAsync(run, TimeSpan.FromSeconds(1), broken.Message)).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Handles an answer after the scheduler has continued without the run: puts the run back, with its entry number if it had one, and releases
    /// its locks.
    /// </summary>
    private async Task HandleLateAnswerAsync(FiredRun run, JobCall call, Task<Admission> answer)
    {
        Admission admission;
        try
        {
            admission = await answer.ConfigureAwait(false);
        }
        catch (JobLockRuleException)
        {
            // The rule is checked again at the next firing, where the run can fail.
            await putBack.RetryAsync(run, TimeSpan.Zero, "The lock server was slow to answer.").ConfigureAwait(false);
            return;
        }

        if (admission is Admission.Waits or Admission.Refused { Action: OnConflict.Reschedule })
        {
            await PutBackAsync(run, admission).ConfigureAwait(false);
            return;
        }

        using (var late = admission as Admission.Admitted)
        {
            if (late is not null && gate.WaitAgain(call, late) is { } waits)
            {
                var parked = putBack.ParkAsync(run, waits);
                // The run must be parked before the release, which wakes it. If the store cannot be reached, the lock is released anyway, so that other runs
                // can continue.
                await Task.WhenAny(parked, Task.Delay(LongestPark)).ConfigureAwait(false);
                late.Dispose();
                await parked.ConfigureAwait(false);
                return;
            }
        }

        await putBack.RetryAsync(run, TimeSpan.Zero, "The lock server was slow to answer.").ConfigureAwait(false);
    }

    private Task PutBackAsync(FiredRun run, Admission admission) => admission switch
    {
        Admission.Waits waits => putBack.ParkAsync(run, waits),
        Admission.Refused refused => putBack.RescheduleAsync(run, refused),
        _ => throw new InvalidOperationException($"A run is put back that was {admission.Outcome}. This is a bug in JobLocks."),
    };

    private async ValueTask<TriggerFiredResult> DeclineAsync(FiredRun run, Task putBackTask)
    {
        DeclineInBackground(run, putBackTask);
        await resumption.InterruptSupersededAsync(run).ConfigureAwait(false);
        return TriggerFiredResult.Declined;
    }

    /// <summary>Whether the firing must not begin because of its trigger. Checked before locks are requested. An error is no reason to drop the run.</summary>
    private async ValueTask<bool> MustNotStartAsync(FiredRun run)
    {
        try
        {
            return await HasTriggerEndedAsync(run).ConfigureAwait(false) || await IsPausedAsync(run).ConfigureAwait(false);
        }
        catch (Exception broken)
        {
            log.CannotReadTrigger(QuartzJobCall.IdOf(run.Bundle.JobDetail.Key, run.Id), broken);
            return false;
        }
    }

    /// <summary>
    /// Whether the trigger of a run was removed since it fired. An error is no reason to drop the run, and neither is a store in memory that has removed the trigger
    /// at the end of an earlier firing.
    /// </summary>
    private static async ValueTask<bool> IsRemovedAsync(IJobStore store, FiredRun run)
    {
        try
        {
            // The lock is held meanwhile, so a store that hangs is not waited for.
            return !await store.Exists(run.Stored.Key, CancellationToken.None).AsTask().WaitAsync(LongestPark).ConfigureAwait(false) && !run.HasOtherFiringEnded;
        }
        catch (Exception)
        {
            return false;
        }
    }

    private async ValueTask<bool> HasTriggerEndedAsync(FiredRun run)
    {
        if (!run.WasHeld && run.StandIn is null) return false;
        if (await runs.EndOfAsync(run.Stored, CancellationToken.None).ConfigureAwait(false) is not { } reason) return false;

        log.Over(QuartzJobCall.IdOf(run.Bundle.JobDetail.Key, run.Id), reason);
        DeclineInBackground(run, resumption.EndAsync(run));
        return true;
    }

    private async ValueTask<bool> IsPausedAsync(FiredRun run)
    {
        if (!await runs.IsPausedAsync(run.StandIn, CancellationToken.None).ConfigureAwait(false)) return false;

        DeclineInBackground(run, putBack.RetryAsync(run, TimeSpan.FromSeconds(1), "Its trigger is paused."));
        return true;
    }

    /// <summary>Ends the firing without its run. The store is updated in the background.</summary>
    private void DeclineInBackground(FiredRun run, Task storeUpdate)
    {
        _tracked.TryRemove(run.Id, out _);
        runs.Threads.End(run.Id);
        _writes.Add(storeUpdate, () => last.Forget(run.Id));
    }
}
