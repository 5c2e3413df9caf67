using System.Diagnostics;
using JobLocks.Gate;

namespace JobLocks.Diagnostics;

/// <summary>
/// The spans of a run that asks for its locks. They belong to the activity in which the scheduler asks, and are linked to the one that made the
/// job, where the scheduler keeps it. Costs a look at a flag while nobody listens. Thread-safe.
/// </summary>
/// <param name="tagsNames">Whether they carry the name of the lock, and not its template alone.</param>
internal sealed class LockTraces(bool tagsNames)
{
    public const string Take = "joblocks.take";
    public const string Wait = "joblocks.wait";
    public const string Reschedule = "joblocks.reschedule";

    private static readonly ActivitySource Source = new(LockMeter.Name);

    /// <summary>A run asks for its locks, until this is disposed.</summary>
    public Activity? Begin(JobCall call, LockRequest request) => Start(Take, call, request, since: default);

    /// <summary>What it was answered.</summary>
    public static void Answered(Activity? take, Admission admission)
    {
        take?.SetTag(LockTags.Outcome, admission.Outcome);
        if (admission is Admission.Refused { IsUnavailable: true } or Admission.Refused { What: OnConflict.Fail })
            take?.SetStatus(ActivityStatusCode.Error, ((Admission.Refused)admission).Reason);
    }

    /// <summary>A run is admitted that stood in line since then, by the clock of the server.</summary>
    public void Waited(JobCall call, LockRequest request, DateTimeOffset since) => Start(Wait, call, request, since)?.Dispose();

    /// <summary>
    /// A scheduler stores a run of ours, until this is disposed. It takes the current activity for the one that made the job: so that is
    /// one that belongs to what made it in truth.
    /// </summary>
    public static Activity? Store(ActivityContext? made) => made is { } trace ? Source.StartActivity(Reschedule, ActivityKind.Internal, trace) : null;

    private Activity? Start(string name, JobCall call, LockRequest request, DateTimeOffset since)
    {
        if (!Source.HasListeners()) return null;

        var tags = LockTags.Of(call.Scheduler, request, tagsNames);
        tags.Add(LockTags.Job, call.ShownId);
        return Source.StartActivity(name, ActivityKind.Internal, Activity.Current?.Context ?? default, tags, call.Trace is { } trace ? [new(trace)] : null, since);
    }
}
