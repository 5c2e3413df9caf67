using System.Diagnostics;
using JobLocks.Primitives;

namespace JobLocks.Diagnostics;

/// <summary>
/// The tags of metrics and traces. The template of the rule identifies a lock. Lock names are unlimited in number, so they are tags only where
/// <see cref="JobLocksOptions.NamesInTelemetry"/> is set.
/// </summary>
internal static class LockTags
{
    public const string Template = "joblocks.lock.template";
    public const string Name = "joblocks.lock.name";
    public const string Outcome = "joblocks.outcome";
    public const string Scheduler = "joblocks.scheduler";
    public const string Job = "joblocks.job.id";

    /// <summary>The tags of a lock.</summary>
    /// <param name="label">The lock.</param>
    /// <param name="withName">Whether the lock name is a tag.</param>
    /// <param name="scheduler">The scheduler of the run; null for no tag.</param>
    public static TagList Of(LockLabel label, bool withName, string? scheduler = null)
    {
        var tags = default(TagList);
        if (scheduler is not null) tags.Add(Scheduler, scheduler);
        if (label.Template is { } template) tags.Add(Template, DisplayText.Name(template));
        if (withName && label.Name is { } name) tags.Add(Name, DisplayText.Name(name));
        return tags;
    }
}
