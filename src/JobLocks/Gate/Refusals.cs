using JobLocks.Diagnostics;
using JobLocks.Locks;
using JobLocks.Primitives;
using JobLocks.WaitQueue;
using Microsoft.Extensions.Logging;

namespace JobLocks.Gate;

/// <summary>The answers for a run that is refused, with the reason for the scheduler's record. Thread-safe.</summary>
internal sealed class Refusals(ILockBackend locks, ILogger log)
{
    private readonly LogThrottle _unavailableThrottle = new();

    /// <summary>The name of the run as a holder.</summary>
    public static string RunOf(JobCall call) => $"{call.Scheduler} job {call.JobId}";

    /// <summary>A run that was started before must not end without its work done, so it is rescheduled.</summary>
    public Admission.Refused RescheduleStarted(JobCall call, RuleRequest request, string conflict) =>
        Refused(call, request, OnConflict.Reschedule, $"Rescheduled, since it had been started before: {conflict}{NextTry(request)}");

    /// <summary>The wait queue of the lock is full.</summary>
    public Admission.Refused RefuseFullQueue(JobCall call, RuleRequest request, EnqueueResult result)
    {
        var length = result.Ahead;
        var waiting = $"{length} {(length == 1 ? "run waits" : "runs wait")} for {request.ShownName} already";
        return request.Rule.Wait.Keep is var keep and > 0 && length >= keep && result.AreWaitersConfirmed && !WasStartedBefore(call)
            ? Refused(call, request, OnConflict.Skip, $"Skipped: {waiting}, and its rule keeps {keep}")
            : Refused(call, request, OnConflict.Reschedule, $"Rescheduled: {waiting}, which is the limit{NextTry(request)}");
    }

    /// <summary>It could not be confirmed that the runs ahead of this one still exist, so this run is rescheduled, and neither skipped nor failed.</summary>
    public Admission.Refused RescheduleUnconfirmed(JobCall call, RuleRequest request) =>
        Refused(call, request, OnConflict.Reschedule, $"Rescheduled: {Conflict(request, holder: null, isRefusedForQueue: true)}, and it could not be confirmed that they still exist{NextTry(request)}");

    public Admission.Refused Refuse(JobCall call, RuleRequest request, Holder? holder, bool isRefusedForQueue)
    {
        var conflict = Conflict(request, holder, isRefusedForQueue);
        // Where the rule says Wait but the run cannot wait, the run is rescheduled.
        var action = request.Rule.OnConflict == OnConflict.Wait ? OnConflict.Reschedule : request.Rule.OnConflict;

        // A run that was started before must be tried again. If it ended now, its work would be lost; or, if it is a second delivery of a run that still
        // executes, the scheduler would record that run as ended. Where the lock has no holder any more, perhaps no run has done the work: the holder may
        // only have held it while it tried to acquire several locks.
        var hasNoHolder = holder is null && !isRefusedForQueue;
        var mustRetry = action != OnConflict.Reschedule && (hasNoHolder || string.Equals(holder?.Run, RunOf(call), StringComparison.Ordinal) || WasStartedBefore(call));
        if (mustRetry) action = OnConflict.Reschedule;

        return Refused(call, request, action, action switch
        {
            OnConflict.Skip => $"Skipped: {conflict}",
            OnConflict.Fail => $"Failed: {conflict}",
            _ when mustRetry && !hasNoHolder => $"Rescheduled, since it had been started before: {conflict}{NextTry(request)}",
            _ => $"Rescheduled: {conflict}{NextTry(request)}",
        });
    }

    /// <summary>Without an answer of the lock server the run cannot start, and there is no reason to skip it or to fail it: it is rescheduled.</summary>
    public Admission.Refused RescheduleUnavailable(JobCall call, RuleRequest request, Exception unavailable)
    {
        var cause = DisplayText.Message(locks.DescribeError(unavailable));
        if (_unavailableThrottle.IsTime()) log.Unavailable(call.ShownId, request.ShownName, LogThrottle.Pause.TotalSeconds, unavailable);
        else log.AlsoUnavailable(call.ShownId, request.ShownName, cause);
        return new(
            OnConflict.Reschedule,
            $"Rescheduled: {request.ShownName} could not be requested. {cause} Next try in {request.Rule.RetryAfter.TotalSeconds:0} s",
            request.Rule.RetryAfter)
        {
            IsUnavailable = true,
        };
    }

    public Admission.Refused Refused(JobCall call, RuleRequest request, OnConflict action, string reason)
    {
        log.Refused(call.ShownId, request.ShownName, request.Key.Value, reason);
        locks.Statistics.Refused(request.Key, request.Name);
        return new(action, reason, request.Rule.RetryAfter);
    }

    /// <summary>Where the job store does not answer, the result is true: a run that is rescheduled is not lost.</summary>
    public bool WasStartedBefore(JobCall call)
    {
        try
        {
            return call.WasStartedBefore();
        }
        catch (Exception failure)
        {
            log.UnknownPast(call.ShownId, failure);
            return true;
        }
    }

    public static string Conflict(RuleRequest request, Holder? holder, bool isRefusedForQueue) => isRefusedForQueue
        ? $"other runs wait for {request.ShownName}, and one of them is next"
        : holder is null ? $"{request.ShownName} was held by another run, which has released it meanwhile"
        : $"{request.ShownName} is held by {holder}";

    private static string NextTry(RuleRequest request) => $"; next try in {request.Rule.RetryAfter.TotalSeconds:0} s";
}
