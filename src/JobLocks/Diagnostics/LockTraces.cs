using System.Diagnostics;

namespace JobLocks.Diagnostics;

/// <summary>
/// The spans of a run that requests its locks. Their parent is the current activity of the scheduler. They are linked to the activity that created
/// the job, where the scheduler keeps it. While no listener is attached, a span costs one check of a flag. Thread-safe.
/// </summary>
/// <param name="tagsNames">Whether the spans contain the lock name in addition to the template.</param>
internal sealed class LockTraces(bool tagsNames)
{
    public const string Request = "joblocks.request";
    public const string Wait = "joblocks.wait";
    public const string Reschedule = "joblocks.reschedule";

    private static readonly ActivitySource Source = new(LockMeter.Name);

    /// <summary>Starts the span in which a run requests its locks. Disposing the activity ends the span.</summary>
    public Activity? Begin(TracedRun run, LockLabel label) => Start(Request, run, label, since: default);

    /// <summary>Adds the answer of the gate to the span of a run.</summary>
    /// <param name="span">The span of <see cref="Begin"/>; null where there is no listener.</param>
    /// <param name="outcome">The outcome.</param>
    /// <param name="error">Why the run fails, or why the lock server could not be asked; null for any other outcome.</param>
    public static void Answered(Activity? span, string outcome, string? error)
    {
        span?.SetTag(LockTags.Outcome, outcome);
        if (error is not null) span?.SetStatus(ActivityStatusCode.Error, error);
    }

    /// <summary>Records the span of the wait of an admitted run, from <paramref name="since"/> until now. The start is a time of the server's clock.</summary>
    public void Waited(TracedRun run, LockLabel label, DateTimeOffset since) => Start(Wait, run, label, since)?.Dispose();

    /// <summary>
    /// Starts the span in which a scheduler stores a run again. The scheduler records the current activity as the creator of the job, so this span
    /// is a child of the activity that has really created the job. Disposing the activity ends the span.
    /// </summary>
    /// <param name="creator">The activity that created the job; null where it is unknown, which gives no span.</param>
    public static Activity? BeginStoring(ActivityContext? creator) => creator is { } trace ? Source.StartActivity(Reschedule, ActivityKind.Internal, trace) : null;

    private Activity? Start(string name, TracedRun run, LockLabel label, DateTimeOffset since)
    {
        if (!Source.HasListeners()) return null;

        var tags = LockTags.Of(label, tagsNames, run.Scheduler);
        tags.Add(LockTags.Job, run.Id);
        return Source.StartActivity(name, ActivityKind.Internal, Activity.Current?.Context ?? default, tags, run.CreatedBy is { } trace ? [new(trace)] : null, since);
    }
}
