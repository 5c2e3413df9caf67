using System.Diagnostics;
using JobLocks.Gate;
using JobLocks.Inspection;

namespace JobLocks.Diagnostics;

/// <summary>
/// By what metrics and traces are told apart. A lock goes by its rule's template: there is no end of names, and so they stand there only where
/// an option asks for them.
/// </summary>
internal static class LockTags
{
    public const string Template = "joblocks.lock.template";
    public const string Name = "joblocks.lock.name";
    public const string Outcome = "joblocks.outcome";
    public const string Scheduler = "joblocks.scheduler";
    public const string Job = "joblocks.job.id";

    public static TagList Of(string scheduler, LockRequest request, bool names)
    {
        var tags = new TagList { { Scheduler, scheduler } };
        Add(ref tags, request.Rule.Template, request.Name, names);
        return tags;
    }

    /// <param name="template">Null for code that took a lock by hand.</param>
    /// <param name="name">Null where the lock is known by its key alone.</param>
    /// <param name="names">Whether the name is wanted.</param>
    public static TagList Of(string? template, string? name, bool names)
    {
        var tags = default(TagList);
        Add(ref tags, template, name, names);
        return tags;
    }

    private static void Add(ref TagList tags, string? template, string? name, bool names)
    {
        if (template is not null) tags.Add(Template, Shown.Name(template));
        if (names && name is not null) tags.Add(Name, Shown.Name(name));
    }
}
