using System.Diagnostics;

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
    public Activity? Begin(TracedRun run, LockLabel label) => Start(Take, run, label, since: default);

    /// <summary>The answer to a run that asked for its locks.</summary>
    /// <param name="take">The span of that run.</param>
    /// <param name="outcome">The outcome.</param>
    /// <param name="error">Why the run failed, or could not be answered; null for any other outcome.</param>
    public static void Answered(Activity? take, string outcome, string? error)
    {
        take?.SetTag(LockTags.Outcome, outcome);
        if (error is not null) take?.SetStatus(ActivityStatusCode.Error, error);
    }

    /// <summary>A run is admitted that has waited since then, by the clock of the server.</summary>
    public void Waited(TracedRun run, LockLabel label, DateTimeOffset since) => Start(Wait, run, label, since)?.Dispose();

    /// <summary>
    /// A scheduler stores a run of ours, until this is disposed. It takes the current activity for the one that made the job: so that is
    /// one that belongs to what made it in truth.
    /// </summary>
    public static Activity? Store(ActivityContext? made) => made is { } trace ? Source.StartActivity(Reschedule, ActivityKind.Internal, trace) : null;

    private Activity? Start(string name, TracedRun run, LockLabel label, DateTimeOffset since)
    {
        if (!Source.HasListeners()) return null;

        var tags = LockTags.Of(label, tagsNames, run.Scheduler);
        tags.Add(LockTags.Job, run.Id);
        return Source.StartActivity(name, ActivityKind.Internal, Activity.Current?.Context ?? default, tags, run.MadeBy is { } trace ? [new(trace)] : null, since);
    }
}
