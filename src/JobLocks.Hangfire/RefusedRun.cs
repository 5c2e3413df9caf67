using Hangfire.Server;
using Hangfire.States;
using JobLocks.Gate;
using JobLocks.WaitQueue;

namespace JobLocks.Hangfire;

/// <summary>What becomes of a run that may not enter, in Hangfire's own states.</summary>
internal sealed class RefusedRun
{
    private const string ItemKey = "JobLocks.Refused";

    public RefusedRun(Admission.Refused refused, JobGate gate)
    {
        Gate = gate;
        NextState = refused.What switch
        {
            OnConflict.Skip => new DeletedState { Reason = refused.Reason },
            OnConflict.Fail => new FailedState(new JobLockConflictException(refused.Reason)) { Reason = refused.Reason },
            _ => new ScheduledState(refused.RetryAfter) { Reason = refused.Reason },
        };
    }

    public RefusedRun(Admission.Waits waits, TimeSpan atMost, JobGate gate)
    {
        Gate = gate;
        Place = waits.Place;
        NextState = new ScheduledState(atMost) { Reason = waits.Reason };
    }

    /// <summary>The state of the job from now on.</summary>
    public IState NextState { get; }

    /// <summary>The gate that decided.</summary>
    public JobGate Gate { get; }

    /// <summary>For a run that waits: where.</summary>
    public QueueEntry? Place { get; }

    /// <summary>Whether the run is to come later: nothing may take it for ended.</summary>
    public bool IsPutOff => NextState is ScheduledState;

    /// <summary>The one that a run met; null where it was not refused.</summary>
    public static RefusedRun? Of(PerformContext context) => context.Items.TryGetValue(ItemKey, out var item) ? item as RefusedRun : null;

    /// <summary>Stops the run, as any filter may: the filters around see that it was canceled.</summary>
    public void Cancel(PerformingContext context)
    {
        context.Items[ItemKey] = this;
        context.Canceled = true;
    }

    /// <summary>
    /// Puts the decision in the place of what Hangfire elects for a canceled run. Elected again each time that Hangfire repeats a state change it
    /// could not store: same question, same answer.
    /// </summary>
    public static void Elect(ElectStateContext context)
    {
        if (context.CandidateState is FailedState { Exception: JobLockConflictException conflict } failed)
        {
            failed.Reason = conflict.Message;
            return;
        }

        if (context.CustomData?.TryGetValue(ItemKey, out var item) != true || item is not RefusedRun refused) return;

        if (context.CandidateState is DeletedState && context.CandidateState != refused.NextState) context.CandidateState = refused.NextState;
    }
}
