using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using JobLocks.Gate;
using JobLocks.Quartz.Waiting;
using Microsoft.Extensions.Logging;
using Quartz;
using Quartz.Extensibility;

namespace JobLocks.Quartz.Entering;

/// <summary>
/// Asks the gate for the runs that the job store has just fired, before anything else in Quartz hears of them. A run that has to wait goes back into
/// the store in the background: no listener, no job instance and no worker is troubled. Thread-safe.
/// </summary>
internal sealed class FiredRuns(JobGate gate, QuartzRuns runs, PutBack putBack, Resumption resumption, LastFirings last, RunningLocks running, IJobStore store, ILogger log)
{
    private static readonly TimeSpan LongestPark = TimeSpan.FromSeconds(5);

    private readonly ConcurrentDictionary<string, FiredRun> _onTheirWay = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<Task, bool> _background = new();
    private readonly AnswerPatience _patience = new();

    /// <summary>Replaces the results of runs that may not begin now. A shutdown waits for it.</summary>
    public async ValueTask DecideAsync(List<TriggerFiredResult> results)
    {
        if (results.Count == 0) return;

        var decided = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _background.TryAdd(decided.Task, true);
        try
        {
            await DecideEachAsync(results).ConfigureAwait(false);
        }
        finally
        {
            _background.TryRemove(decided.Task, out _);
            decided.SetResult();
        }
    }

    /// <summary>The firing is over, however it ended: the store is told of the run's own trigger, and then the lock is released.</summary>
    public async ValueTask EndAsync(TriggeredJobCompleteContext ended, CancellationToken stop)
    {
        var id = ended.Trigger.FireInstanceId ?? "";
        _onTheirWay.TryRemove(id, out var run);
        last.Forget(id);
        last.OtherEnds(ended);
        try
        {
            await store.FiringComplete(await ToldAsync(running.IsRefused(id) ? WithoutData(ended) : Forgetting(ended, run), run, stop).ConfigureAwait(false), stop).ConfigureAwait(false);
            if (run is not null) await resumption.AfterAsync(run, ended).ConfigureAwait(false);
        }
        finally
        {
            runs.Threads.End(id);
            running.Forget(id);
        }
    }

    /// <summary>The firing as its run is to be seen: that of a stand-in has the run's own trigger.</summary>
    public FireInstance Shown(FireInstance firing) =>
        _onTheirWay.TryGetValue(firing.FireInstanceId, out var run) && (run.WasHeld || run.StandIn is not null) ? firing with { TriggerKey = run.Bundle.Trigger.Key, ScheduledFireTimeUtc = run.Due } : firing;

    /// <summary>Whether a run of this trigger is under way by a stand-in.</summary>
    public bool Runs(TriggerKey own) => _onTheirWay.Values.Any(run => run.StandIn is { } standIn && standIn.Origin.Equals(own));

    /// <summary>Waits until every run that has to wait is in the store.</summary>
    public async Task DrainAsync()
    {
        while (_background.Keys.ToArray() is { Length: > 0 } pending) await Task.WhenAll(pending).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async ValueTask DecideEachAsync(List<TriggerFiredResult> results)
    {
        List<(int Index, FiredRun Run, JobCall Call, Task<Admission> Asked)>? asked = null;
        for (var i = 0; i < results.Count; i++)
        {
            if (results[i].TriggerFiredBundle is not { } bundle) continue;

            runs.Threads.Begin(bundle.Trigger.FireInstanceId ?? "");
            var run = await FiredRun.OfAsync(bundle, store, CancellationToken.None).ConfigureAwait(false);
            if (run.Bundle != bundle) results[i] = TriggerFiredResult.Fired(run.Bundle);
            if (run.WasHeld || run.StandIn is not null || run.Attempt > 0) _onTheirWay[run.Id] = run;
            await last.WatchAsync(run).ConfigureAwait(false);
            if (await MustNotComeAsync(run).ConfigureAwait(false)) results[i] = TriggerFiredResult.Declined;
            else if (TryCall(run, out var call)) (asked ??= []).Add((i, run, call, AskAsync(call)));
        }

        if (asked is null) return;

        await AnsweredAsync(Task.WhenAll(asked.Select(static one => one.Asked))).ConfigureAwait(false);
        foreach (var (i, run, call, answer) in asked) results[i] = await ResultAsync(run, call, answer).ConfigureAwait(false);
    }

    /// <summary>What the store is told of an end. A store that cannot be asked waits with the end itself until it can be told.</summary>
    private async ValueTask<TriggeredJobCompleteContext> ToldAsync(TriggeredJobCompleteContext ended, FiredRun? run, CancellationToken stop)
    {
        if (run is null) return ended;

        try
        {
            await resumption.BeforeAsync(run, ended).ConfigureAwait(false);
            return await store.BesideHeldAsync(ended, run, stop).ConfigureAwait(false);
        }
        catch (Exception broken) when (!stop.IsCancellationRequested)
        {
            log.CannotPutBack(broken);
            return ended;
        }
    }

    private static TriggeredJobCompleteContext WithoutData(TriggeredJobCompleteContext refused) => new()
    {
        Trigger = refused.Trigger,
        JobDetail = FiredRun.NotPersisting(refused.JobDetail),
        Instruction = refused.Instruction,
        Outcome = refused.Outcome,
        Exception = refused.Exception,
    };

    /// <summary>A trigger that fires nothing beside its own run has kept our mark until now.</summary>
    private static TriggeredJobCompleteContext Forgetting(TriggeredJobCompleteContext ended, FiredRun? run)
    {
        if (run is { WasHeld: true, StandIn: null } && Resumption.ResumesAtEnd(run) && ended.Instruction != SchedulerInstruction.RetryTrigger) HeldTrigger.ForgetAtEnd(ended.Trigger);
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
            // No run ever starts under a wrong name, and no other firing of the same batch is to suffer.
            running.Refuse(run.Id, broken);
            call = null;
            return false;
        }
    }

    private async Task<Admission> AskAsync(JobCall call)
    {
        var askedAt = Stopwatch.GetTimestamp();
        try
        {
            var answer = await gate.TryEnterAsync(call, CancellationToken.None).ConfigureAwait(false);
            if (answer is not Admission.Refused { IsUnavailable: true }) _patience.Answered(Stopwatch.GetElapsedTime(askedAt));
            return answer;
        }
        catch (Exception broken) when (broken is not JobLockRuleException)
        {
            // No lock, no run; and no answer is no reason to drop the run.
            log.Broke(call.JobId, broken);
            return QuartzJobCall.NoAnswer(call, broken);
        }
    }

    private async ValueTask AnsweredAsync(Task all)
    {
        try
        {
            await all.WaitAsync(_patience.Next).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            _patience.Missed();
        }
        catch (JobLockRuleException)
        {
            // Each answer is looked at by itself.
        }
    }

    private async ValueTask<TriggerFiredResult> ResultAsync(FiredRun run, JobCall call, Task<Admission> answer)
    {
        if (!answer.IsCompleted) return await DeclineAsync(run, AnsweredLateAsync(run, call, answer)).ConfigureAwait(false);

        try
        {
            switch (await answer.ConfigureAwait(false))
            {
                case Admission.Admitted admitted:
                    running.Remember(run.Id, admitted);
                    return TriggerFiredResult.Fired(await resumption.AdmittedAsync(run).ConfigureAwait(false));
                case Admission.Refused { What: OnConflict.Skip }:
                    running.Refuse(run.Id, failure: null);
                    return TriggerFiredResult.Fired(run.Bundle);
                case Admission.Refused { What: OnConflict.Fail } refused:
                    running.Refuse(run.Id, new JobLockConflictException(refused.Reason));
                    return TriggerFiredResult.Fired(run.Bundle);
                case var later:
                    return await DeclineAsync(run, PutBackAsync(run, later)).ConfigureAwait(false);
            }
        }
        catch (JobLockRuleException broken)
        {
            running.Refuse(run.Id, broken);
            return TriggerFiredResult.Fired(run.Bundle);
        }
        catch (Exception broken)
        {
            // The store failed between the lock and the run. What it has fired already must not be lost with this one.
            log.Broke(QuartzJobCall.IdOf(run.Bundle.JobDetail.Key, run.Id), broken);
            running.Forget(run.Id);
            return await DeclineAsync(run, putBack.RetryAsync(run, TimeSpan.FromSeconds(1), broken.Message)).ConfigureAwait(false);
        }
    }

    /// <summary>The scheduler has gone on without the run: it is put back, where it was in the wait queue, and gives back the locks that came too late.</summary>
    private async Task AnsweredLateAsync(FiredRun run, JobCall call, Task<Admission> answer)
    {
        Admission admission;
        try
        {
            admission = await answer.ConfigureAwait(false);
        }
        catch (JobLockRuleException)
        {
            // Said once more when it is fired again, where it can fail.
            await putBack.RetryAsync(run, TimeSpan.Zero, "The lock server was slow to answer.").ConfigureAwait(false);
            return;
        }

        if (admission is Admission.Waits or Admission.Refused { What: OnConflict.Reschedule })
        {
            await PutBackAsync(run, admission).ConfigureAwait(false);
            return;
        }

        using (var late = admission as Admission.Admitted)
        {
            if (late is not null && gate.WaitAgain(call, late) is { } waits)
            {
                var parked = putBack.ParkAsync(run, waits);
                // The release wakes it. A store that cannot be reached must not hold up the others.
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
        Leave(run, putBackTask);
        await resumption.InterruptSupersededAsync(run).ConfigureAwait(false);
        return TriggerFiredResult.Declined;
    }

    /// <summary>Asked before the locks. A store that gives no answer is no reason to drop the run.</summary>
    private async ValueTask<bool> MustNotComeAsync(FiredRun run)
    {
        try
        {
            return await IsOverAsync(run).ConfigureAwait(false) || await IsHeldBackAsync(run).ConfigureAwait(false);
        }
        catch (Exception broken)
        {
            log.Broke(QuartzJobCall.IdOf(run.Bundle.JobDetail.Key, run.Id), broken);
            return false;
        }
    }

    private async ValueTask<bool> IsOverAsync(FiredRun run)
    {
        if (!run.WasHeld && run.StandIn is null) return false;
        if (await runs.EndOfAsync(run.Stored, CancellationToken.None).ConfigureAwait(false) is not { } because) return false;

        log.Over(QuartzJobCall.IdOf(run.Bundle.JobDetail.Key, run.Id), because);
        Leave(run, resumption.EndAsync(run));
        return true;
    }

    private async ValueTask<bool> IsHeldBackAsync(FiredRun run)
    {
        if (!await runs.IsPausedAsync(run.StandIn, CancellationToken.None).ConfigureAwait(false)) return false;

        Leave(run, putBack.RetryAsync(run, TimeSpan.FromSeconds(1), "Its trigger is paused."));
        return true;
    }

    /// <summary>The run does not begin now: the store is told in the background.</summary>
    private void Leave(FiredRun run, Task told)
    {
        _onTheirWay.TryRemove(run.Id, out _);
        runs.Threads.End(run.Id);
        _background.TryAdd(told, true);
        _ = told.ContinueWith(
            done =>
            {
                last.Forget(run.Id);
                _background.TryRemove(done, out _);
                if (done.Exception is { } broken) log.CannotPutBack(broken.GetBaseException());
            },
            CancellationToken.None,
            TaskContinuationOptions.ExecuteSynchronously,
            TaskScheduler.Default);
    }
}
