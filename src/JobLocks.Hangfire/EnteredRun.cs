using JobLocks.Gate;

namespace JobLocks.Hangfire;

/// <summary>What the filter keeps of an admitted run until its end.</summary>
/// <param name="EnteredBy">The attribute that requested the locks. It is the outermost attribute of the job: Hangfire calls its OnPerformed last.</param>
/// <param name="CoveredAttributes">All attributes whose locks this admission covers.</param>
/// <param name="Call">The call that the gate admitted.</param>
/// <param name="Admitted">Holds the locks; is disposed when the run ends.</param>
/// <param name="Watch">Stops the run if its lock is lost; null if the run cannot be stopped. Is disposed before <paramref name="Admitted"/>.</param>
internal sealed record EnteredRun(JobLockAttribute EnteredBy, IReadOnlyList<JobLockAttribute> CoveredAttributes, JobCall Call, Admission.Admitted Admitted, RunWatch? Watch)
{
    private const string ItemKey = "JobLocks.Entered";

    /// <summary>The admissions of a run: usually one. There are more only if some attributes are not returned by Hangfire's filter providers.</summary>
    public static List<EnteredRun> AllOf(IDictionary<string, object?> items)
    {
        if (items.TryGetValue(ItemKey, out var item) && item is List<EnteredRun> entered) return entered;

        entered = [];
        items[ItemKey] = entered;
        return entered;
    }

    /// <summary>Whether the run already holds all locks that the other call requests.</summary>
    public bool Holds(JobCall other)
    {
        var held = Call.Rules.Select(rule => rule.NameFor(Call));
        return other.Rules.All(rule => held.Contains(rule.NameFor(other), StringComparer.Ordinal));
    }
}
