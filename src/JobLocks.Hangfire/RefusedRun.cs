using Hangfire.Server;
using Hangfire.States;
using JobLocks.Gate;
using JobLocks.WaitQueue;

namespace JobLocks.Hangfire;

/// <summary>A refused run and the Hangfire state that it gets.</summary>
internal sealed class RefusedRun
{
    private const string ItemKey = "JobLocks.Refused";

    public RefusedRun(Admission.Refused refused, JobGate gate)
    {
        Gate = gate;
        NextState = refused.Action switch
        {
            OnConflict.Skip => new DeletedState { Reason = refused.Reason },
            OnConflict.Fail => new FailedState(new JobLockConflictException(refused.Reason)) { Reason = refused.Reason },
            _ => new ScheduledState(refused.RetryAfter) { Reason = refused.Reason },
        };
    }

    public RefusedRun(Admission.Waits waits, TimeSpan startsUnwokenAfter, JobGate gate)
    {
        Gate = gate;
        Entry = waits.Entry;
        NextState = new ScheduledState(startsUnwokenAfter) { Reason = waits.Reason };
    }

    /// <summary>The next state of the job.</summary>
    public IState NextState { get; }

    /// <summary>The gate that refused the run.</summary>
    public JobGate Gate { get; }

    /// <summary>The queue entry of a run that waits; null for any other run.</summary>
    public QueueEntry? Entry { get; }

    /// <summary>Whether the run starts later. Filters and Hangfire must not treat it as ended.</summary>
    public bool StartsLater => NextState is ScheduledState;

    /// <summary>The refusal of a run; null if it was not refused.</summary>
    public static RefusedRun? Of(PerformContext context) => context.Items.TryGetValue(ItemKey, out var item) ? item as RefusedRun : null;

    /// <summary>Cancels the run in the way of any Hangfire filter. The filters around it see a canceled run.</summary>
    public void Cancel(PerformingContext context)
    {
        context.Items[ItemKey] = this;
        context.Canceled = true;
    }

    /// <summary>
    /// Replaces the state that Hangfire elects for a canceled run. Hangfire repeats the election each time it repeats a state change that it could not store;
    /// the result is the same each time.
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
