using Hangfire.States;
using JobLocks.Gate;

namespace JobLocks.Hangfire;

/// <summary>What becomes of a run that may not enter, in Hangfire's own states.</summary>
internal sealed class RefusedRun
{
    public const string ItemKey = "JobLocks.Refused";

    public RefusedRun(Admission.Refused refused) =>
        NextState = refused.What switch
        {
            OnConflict.Skip => new DeletedState { Reason = refused.Reason },
            OnConflict.Fail => new FailedState(new JobLockConflictException(refused.Reason)) { Reason = refused.Reason },
            _ => new ScheduledState(refused.RetryAfter) { Reason = refused.Reason },
        };

    public RefusedRun(Admission.Waits waits) => NextState = ParkedRun.StateOf(waits);

    public IState NextState { get; }
}
